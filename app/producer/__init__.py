"""Makes the synthetic documents that the fleet is shown with, tested and measured on."""
