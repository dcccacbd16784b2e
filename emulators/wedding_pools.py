"""The words from which generated weddings are made: names, places, styles and their weights."""

from __future__ import annotations


def _words(text: str, separator: str = "|") -> tuple[str, ...]:
    return tuple(text.split(separator))


REFERENCE_DATE = "2026-10-01"
"""The generator's today: weddings before it are over, later ones are still ahead."""

FIRST_NAMES = _words(
    "Anna Ben Chloe Daniel Emma Farid Grace Henry Isla Jack Katarzyna Liam Mia Noah Olivia Priya Quentin Rosa Samuel "
    "Tara Umar Violet William Xenia Yusuf Zoë Siân José Søren Łukasz Chloé Björn Aoife Niamh Renée Anaïs Þóra Ngọc "
    "Jürgen Inès Mateo Héctor Ayşe Çağla Dušan Ewa Françoise Gül Håkon Ñusta Öykü Şirin Владимир Ελένη 美咲 민준 عائشة "
    "Mary-Jane D'Arcy Jean-Luc",
    " ",
)

LAST_NAMES = _words(
    "Fisher|Smith|Jones|Taylor|Brown|Williams|Wilson|Johnson|Davies|Patel|Robinson|Wright|Thompson|Evans|Walker|White|"
    "Roberts|Green|Hall|Wood|Jackson|Clarke|Khan|Begum|O'Connor|O'Brien|D'Angelo|N'Diaye|Müller|Schröder|Nguyễn|Łuczak|"
    "Sørensen|Østergaard|García|Muñoz|Peña|Gonçalves|São João|Çelik|Şahin|Kovačević|Škoda|Ångström|Þorsson|"
    "Björk|Dubois|Lefèvre|van der Berg|de la Cruz|Ó Súilleabháin|Иванова|Παπαδόπουλος|佐藤|김|McDonald|"
    "Smith-Jones|Fitz-Gerald"
)

STYLES = ("classic", "rustic", "boho", "modern", "vintage", "beach", "garden", "black tie", "festival", "intimate")
STYLE_WEIGHTS = (22, 17, 11, 15, 8, 5, 10, 5, 3, 4)
LOCATION_PREFERENCES = ("country house", "city", "barn", "coast", "castle", "outdoors", "abroad")
REFERRALS = ("instagram", "search", "friend", "venue", "wedding fair", "directory", "repeat client")
REFERRAL_WEIGHTS = (26, 24, 20, 14, 5, 8, 3)

MONTH_WEIGHTS = (3, 3, 5, 7, 11, 14, 13, 14, 13, 9, 4, 4)
FIRST_YEAR = 2024
YEAR_WEIGHTS = (18, 26, 30, 22, 4)
WEEKDAY_WEIGHTS = (3, 3, 4, 8, 15, 56, 11)
"""Monday to Sunday: most couples marry on a Saturday."""
SEASONS = (
    ("winter", "winter", "spring", "spring", "spring", "summer", "summer", "summer") + ("autumn",) * 3 + ("winter",)
)

PLACES = (
    ("London", "Greater London"),
    ("Bath", "South West"),
    ("Bristol", "South West"),
    ("Manchester", "North West"),
    ("Chester", "North West"),
    ("Leeds", "Yorkshire"),
    ("York", "Yorkshire"),
    ("Oxford", "South East"),
    ("Brighton", "South East"),
    ("Aylesbury", "South East"),
    ("Cambridge", "East of England"),
    ("Edinburgh", "Scotland"),
    ("Glasgow", "Scotland"),
    ("Cardiff", "Wales"),
    ("Llanfairpwll", "Wales"),
    ("Belfast", "Northern Ireland"),
    ("Córdoba", "Andalucía"),
    ("Saint-Rémy-de-Provence", "Provence-Alpes-Côte d'Azur"),
    ("Kraków", "Małopolska"),
    ("Reykjavík", "Höfuðborgarsvæðið"),
)

VENUE_WORDS = _words(
    "Hartwell|Ashford|Willow|St Mary's|Queen's|Silver Birch|Château|Rosé|Fairoaks|King's|Lake|Orchard|Abbey|Meadow|"
    "Harbour|Castell y Bryn|Dún|Stone|Highfield|Oakley"
)
VENUE_NOUNS = ("House", "Barn", "Hotel", "Castle", "Gardens", "Hall", "Vineyard", "Orangery")
VENUE_TYPES = (
    "country_house",
    "barn",
    "hotel",
    "castle",
    "garden",
    "hall",
    "vineyard",
    "garden",
)

SUPPLIER_WORDS = _words(
    "Lumen|Golden Hour|Bluebell|North & Co|Ever After|Ivory|L'Amour|Petal|Copper|Fjord|Très Belle|O'Hara's|Wren|Halo|"
    "Juniper|Maison Élan|Saffron|Honey & Thyme|Two Oaks|Little Star"
)
CATEGORIES = ("photography", "venue", "planning", "catering", "florist", "music", "videography", "cake", "beauty")
CATEGORY_WEIGHTS = (34, 16, 12, 13, 9, 6, 5, 3, 2)
CATEGORY_NOUNS = ("Studios", "Estates", "Events", "Kitchen", "Flowers", "Sound", "Films", "Bakery", "Beauty")
CATEGORY_SERVICES = (
    ("full_day_coverage", "half_day_coverage", "elopement"),
    ("exclusive_hire", "ceremony_room", "marquee"),
    ("full_planning", "on_the_day", "design"),
    ("banquet", "buffet", "canapes"),
    ("full_floristry", "bouquets", "installation"),
    ("live_band", "dj", "string_quartet"),
    ("feature_film", "highlights", "drone"),
    ("tiered_cake", "dessert_table", "favours"),
    ("bridal_party", "bride_only", "trial"),
)
BUSINESS_TYPES = ("sole_trader", "limited_company", "partnership", "charity")
BUSINESS_WEIGHTS = (52, 37, 10, 1)
TIERS = ("free", "starter", "professional", "scale", "enterprise")
TIER_WEIGHTS = (18, 30, 34, 14, 4)

BUDGET_BANDS = ((10_000, "under 10k"), (20_000, "10k-20k"), (35_000, "20k-35k"), (60_000, "35k-60k"))
BUDGET_TOP = "over 60k"
GUEST_BANDS = ((30, "1-29"), (60, "30-59"), (100, "60-99"), (150, "100-149"))
GUEST_TOP = "150+"
