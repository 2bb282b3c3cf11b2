"""What a document is and how its text, thumbnail and facts are read: pure, in a sandbox, with limits."""
