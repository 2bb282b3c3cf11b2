"""Random business English for the synthetic documents: words, sentences, names, addresses and dates."""

from random import Random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _phrases(text: str) -> tuple[str, ...]:
    return tuple(" ".join(phrase.split()) for phrase in text.split("|"))


_NOUNS = _words("""
account agreement allocation amendment annex approval archive assessment asset audit balance batch benefit
bid branch budget building calendar capacity cargo carrier catalogue certificate charter claim clause
client committee complaint component consignment contract contractor correction cost courier customer
deadline delivery demand department deposit design discount dispatch district document draft element
engine estimate evaluation exchange expense factory feature file finding fleet forecast freight fund goal
guideline harbour inspection instalment insurance interest inventory invoice journey laboratory ledger
lease licence machine margin market material measure meeting member method milestone network notice
objective offer office operation order output package partner payment permit phase pipeline plan plant
policy premium price principle process product programme project proposal purchase quality quarter quota
rate receipt record refund region register renewal repair report request reserve resource result return
review revision risk route sample saving schedule sector section service session settlement shipment
signature site staff standard statement station stock storage supplier supply survey target tariff task
team tender term terminal territory test total trade training transfer transport treaty turnover unit
update valuation vehicle vendor venture version volume voucher warehouse warranty workshop
""")

_ADJECTIVES = _words("""
additional annual available average binding careful central certain combined common complete current daily
detailed direct early economic equal estimated external final financial following formal former frequent
full further general global immediate independent individual initial internal joint large late legal local
long lower major medium minor modest monthly mutual narrow national new normal northern official open
ordinary original outstanding overall partial permanent physical possible preliminary present previous
primary private proper public quarterly rapid recent regional regular relevant remaining revised rising
secondary separate short significant similar single small southern special stable standard steady strong
suitable technical temporary typical urgent usual valid weekly western wide written
""")

_VERBS = _words("""
accepted adjusted announced applied approved arranged assigned cancelled charged checked closed collected
compared completed confirmed considered covered credited debited decided delayed delivered described
discussed divided examined exceeded extended financed finished followed funded granted handled improved
included increased inspected issued launched limited listed maintained measured merged moved negotiated
noted observed offered opened ordered organised paid planned postponed prepared presented processed
produced published purchased raised received recorded reduced rejected released renewed repaired replaced
reported requested resolved returned reviewed scheduled shared shipped signed sold stored submitted
supplied supported suspended tested traced transferred updated verified
""")

_TAILS = _phrases("""
according to the contract|after the meeting in spring|ahead of schedule|as agreed by both parties|at the
end of the quarter|at no further charge|before the end of the year|by the northern branch|during the
second phase|for the third time|from the central warehouse|in accordance with the annex|in the following
month|in writing|on behalf of the committee|on the basis of the survey|subject to approval|under the terms
of the lease|with effect from Monday|with the consent of the supplier|within fourteen days|without any
delay
""")

_JOINTS = ("and", "but", "because", "while", "so that", "although", "and therefore", "whereas")
_SURNAMES = _words("""
Abbott Arden Barlow Bennett Carver Castell Dalton Draper Easton Ferris Garner Hadley Holt Ingram Jarvis
Keller Lang Marlow Mercer Norton Osborne Parrish Quill Ramsey Sander Talbot Underhill Varley Warner
Yardley
""")
_GIVEN = _words("""
Ada Anna Boris Clara David Elena Felix Greta Hugo Irene Jonas Karin Leo Maria Nils Olga Paul Rosa
""")
_TRADES = _words("""
Components Freight Glassworks Instruments Laboratories Logistics Machinery Paper Shipping Textiles
""")
_FORMS = ("Ltd", "LLC", "GmbH", "S.A.", "Inc.", "B.V.")
_STREETS = _words("""
Bridge Canal Castle Church Garden Harbour Hill King Market Mill Orchard Queen River Station
""")
_TOWNS = _words("""
Alderton Brackley Carrow Dunmere Eastham Fallowfield Greywater Hartwell Kingsmere Lowbridge Marston
""")


def chance(random: Random, probability: float) -> bool:
    """Return True with the given probability."""
    return random.random() < probability


def noun(random: Random) -> str:
    """Return a noun."""
    return random.choice(_NOUNS)


def noun_phrase(random: Random) -> str:
    """Return an adjective and a noun, without an article."""
    return f"{random.choice(_ADJECTIVES)} {random.choice(_NOUNS)}"


def title(random: Random) -> str:
    """Return a heading of two to four words."""
    first = noun_phrase(random)
    return (f"{first} and {noun(random)}" if chance(random, 0.4) else first).capitalize()


def _clause(random: Random) -> str:
    subject = noun_phrase(random) if chance(random, 0.6) else noun(random)
    auxiliary = random.choice(("was", "has been", "will be", "can be", "was not", "is to be"))
    return f"the {subject} {auxiliary} {random.choice(_VERBS)} {random.choice(_TAILS)}"


def sentence(random: Random) -> str:
    """Return a sentence of one or two clauses, about 70 or 140 characters."""
    text = _clause(random)
    if chance(random, 0.5):
        text += f", {random.choice(_JOINTS)} {_clause(random)}"
    return text[0].upper() + text[1:] + "."


def paragraph(random: Random, sentences: int) -> str:
    """Return a paragraph of that many sentences."""
    return " ".join(sentence(random) for _ in range(sentences))


def person(random: Random) -> str:
    """Return a given name and a surname."""
    return f"{random.choice(_GIVEN)} {random.choice(_SURNAMES)}"


def company(random: Random) -> str:
    """Return a company's name, with its legal form."""
    return f"{random.choice(_SURNAMES)} {random.choice(_TRADES)} {random.choice(_FORMS)}"


def address(random: Random) -> list[str]:
    """Return a street and a town, one line each."""
    street = f"{random.randrange(1, 180)} {random.choice(_STREETS)} Street"
    return [street, f"{random.randrange(10_000, 99_999)} {random.choice(_TOWNS)}"]


def date(random: Random) -> str:
    """Return a date from 2019 to 2024, in ISO 8601 format."""
    return f"{random.randrange(2019, 2025)}-{random.randrange(1, 13):02}-{random.randrange(1, 29):02}"


def reference(random: Random, prefix: str) -> str:
    """Return a reference number such as RE-20417."""
    return f"{prefix}-{random.randrange(10_000, 99_999)}"
