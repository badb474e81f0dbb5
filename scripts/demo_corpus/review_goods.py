"""Lexicon of the review corpus: gadgets, software, kitchen things, clothes. Written for this package."""

# fmt: off
from __future__ import annotations

from demo_corpus.lexicon import MASS, PLURAL, SINGULAR, Aspect, Domain

AUDIO = Domain(
    nouns="pair|headset|set|pair of headphones",
    past=False,
    scenes=(
        "Bought these in {month} for the commute|I wear them at my desk in {city} all day|{who} gave me a "
        "pair|Used them on two flights and in the gym|Ordered on {day}, here by {day2}|My third set in five "
        "years"
    ),
    again="buy them again|wear them every day|take them on a flight",
    rivals="my old pair|the more expensive model|the ones that came with my phone|last year's version",
    aspects=(
        Aspect(
            "sound", MASS, "warm|detailed|balanced|full", "tinny|harsh|boomy|hollow",
            "makes old records feel new|stays clear at any volume|has depth I did not expect at this price",
            "makes new records feel old|distorts at any volume|has less depth than I expected even at this "
            "price",
        ),
        Aspect(
            "battery", SINGULAR, "reliable|generous|long-lasting", "feeble|erratic|short-lived",
            "lasts the whole week|charges over a cup of coffee|outlives the working day with hours to spare",
            "barely lasts the morning|takes all night to charge|gives up hours before the working day does",
        ),
        Aspect(
            "fit", SINGULAR, "snug|light|secure|comfortable", "tight|loose|sweaty|awkward",
            "is so good I forget I have them on|stays put on a run|suits small ears",
            "is so bad I cannot forget I have them on|slips on a run|punishes small ears",
        ),
        Aspect(
            "noise cancelling", MASS, "impressive|effective|uncanny", "weak|patchy|pointless",
            "turns a bus into a library|took the edge off every engine",
            "turns a library into a bus|took the edge off nothing",
        ),
        Aspect(
            "controls", PLURAL, "simple|intuitive|responsive", "fiddly|confusing|over-sensitive",
            "do what you ask the first time|make sense without the manual",
            "do what you ask the third time|make no sense even with the manual",
        ),
        Aspect(
            "build", SINGULAR, "sturdy|solid|well finished", "flimsy|creaky|cheap",
            "has survived two drops|looks as good as on day one",
            "did not survive two drops|looked tired by day ten",
        ),
    ),
    praise=(
        "I reach for these first|Two colleagues have bought them since|They have replaced a pair at twice "
        "the price"
    ),
    blame=(
        "They live in a drawer now|Two colleagues have tried them and laughed|I have gone back to a pair at "
        "half the price"
    ),
)

COMPUTER = Domain(
    nouns="laptop|tablet|machine|phone|notebook",
    past=False,
    scenes=(
        "Six weeks of daily use for work|Replaced an old one that died in {month}|Bought it for {who}|I "
        "travel between {city} and {city2} with it|Set up on {day}, on the road by {day2}|I mostly write "
        "and edit photos"
    ),
    again="choose it again|buy another|carry it every day",
    rivals="the previous model|my old one|its more expensive sibling|the one I returned in {month}",
    aspects=(
        Aspect(
            "screen", SINGULAR, "bright|crisp|gorgeous", "dim|grainy|washed out|reflective",
            "is a joy for photos|stays readable in full sun|shows blacks that are really black",
            "is a trial for photos|turns into a mirror in the sun|shows blacks that are really grey",
        ),
        Aspect(
            "keyboard", SINGULAR, "comfortable|quiet|precise|well spaced", "mushy|cramped|noisy|stiff",
            "makes long documents a pleasure|has just the right travel",
            "makes long documents a penance|drops letters",
        ),
        Aspect(
            "battery", SINGULAR, "dependable|excellent|long-lived", "poor|unpredictable|weak",
            "gets me through two meetings and a flight|shows half at dinner",
            "dies in the second meeting|is empty by lunch",
        ),
        Aspect(
            "speakers", PLURAL, "rich|punchy|clear", "hissy|faint|muffled",
            "fill a kitchen|put my old stereo to shame",
            "hardly fill a cupboard|make everyone sound like a wasp",
        ),
        Aspect(
            "fan", SINGULAR, "silent|discreet|well behaved", "shrill|restless|constant",
            "hardly ever comes on|keeps things cool without fuss",
            "hardly ever goes off|howls at the first browser tab",
        ),
        Aspect(
            "camera", SINGULAR, "sharp|quick|flattering", "blurry|slow|useless",
            "copes well in the evening|gets skin tones right", "copes badly in the evening|turns skin orange",
        ),
        Aspect(
            "setup", SINGULAR, "painless|quick|clear", "tedious|maddening|opaque",
            "took ten minutes and no swearing|moved everything across without a hitch",
            "took ten hours and a lot of swearing|lost half of what it moved across",
        ),
    ),
    praise="It simply gets out of the way|My old one is already sold|I have stopped looking at adverts",
    blame=(
        "It went back within the week|My old one is out of the drawer again|I have started looking at "
        "adverts"
    ),
)

APP = Domain(
    nouns="app|program|service|update|subscription",
    past=False,
    scenes=(
        "Installed it on {day} after {who} mentioned it|We run a small office in {city} on this|Been on the "
        "paid plan since {month}|I use it every day for lists and bills|Moved over from a spreadsheet in "
        "{month}"
    ),
    again="renew|sign up again|pay for another year",
    rivals="the old version|a plain spreadsheet|the free alternatives|what we used before {month}",
    aspects=(
        Aspect(
            "interface", SINGULAR, "clean|friendly|uncluttered|obvious", "busy|ugly|baffling|dated",
            "puts everything one tap away|never gets in the way|needed no explaining to my father",
            "puts everything five taps away|always gets in the way|had to be explained to my father twice",
        ),
        Aspect(
            "search", SINGULAR, "fast|forgiving|accurate", "slow|broken|picky",
            "finds notes I had forgotten|works offline too",
            "forgets notes I could find by hand|gives up offline",
        ),
        Aspect(
            "sync", SINGULAR, "flawless|instant|dependable", "flaky|sluggish|haphazard",
            "has never lost a thing|keeps three devices in step",
            "has lost a month of work|keeps three devices in three different weeks",
        ),
        Aspect(
            "support team", SINGULAR, "helpful|patient|quick", "rude|evasive|slow",
            "answered within the hour|fixed a billing slip before I had finished complaining",
            "answered after a month|closed my ticket before I had finished complaining",
        ),
        Aspect(
            "updates", PLURAL, "welcome|thoughtful|regular", "disruptive|buggy|pointless",
            "fix what people ask for|arrive without drama", "break what people liked|arrive with new bugs",
        ),
        Aspect(
            "pricing", MASS, "fair|transparent|modest", "greedy|confusing|steep",
            "is easy to justify|covers everything with no extras",
            "is hard to justify|hides everything in extras",
        ),
    ),
    praise="It saves me an hour a week|I have moved the whole team over|I would miss it within a day",
    blame="It costs me an hour a week|I have moved the whole team back|I have not missed it for a day",
)

KITCHEN = Domain(
    nouns="blender|coffee machine|toaster|kettle|mixer|vacuum cleaner",
    past=False,
    scenes=(
        "On our counter since {month}|A wedding present from {who}|I use it most mornings before work|"
        "Bought on {day} to replace one that caught fire|We have a tiny kitchen in {city}|{who} swears by "
        "this brand"
    ),
    again="buy the same one again|give one as a present|choose this brand again",
    rivals=(
        "the one it replaced|the model at twice the price|the one at my office|my mother's, which is older "
        "than me"
    ),
    aspects=(
        Aspect(
            "motor", SINGULAR, "powerful|quiet|smooth", "weak|deafening|smelly",
            "goes through ice like butter|has not faltered once|sounds like it will outlive me",
            "stalls on a banana|falters once a week|sounds like it is about to leave us",
        ),
        Aspect(
            "manual", SINGULAR, "clear|short|useful", "cryptic|badly translated|useless",
            "answers every question in two pages|is actually readable",
            "answers no question in ninety pages|is barely in English",
        ),
        Aspect(
            "cleaning", MASS, "easy|quick|painless", "tiresome|messy|fiddly",
            "takes a minute under the tap|is no chore at all",
            "takes half an hour and a toothbrush|is a chore",
        ),
        Aspect(
            "design", SINGULAR, "compact|handsome|sensible", "bulky|awkward|thoughtless",
            "fits under the cupboard|hides every cable", "blocks the cupboard|leaves cables everywhere",
        ),
        Aspect(
            "results", PLURAL, "consistent|delicious|even", "inconsistent|disappointing|lumpy",
            "beat the café downstairs|come out right every time",
            "make me miss the café downstairs|come out wrong every time",
        ),
        Aspect(
            "lid", SINGULAR, "tight|well made|secure", "leaky|brittle|warped",
            "seals properly|clicks shut with one hand",
            "never seals properly|cracked the first time I dropped it",
        ),
    ),
    praise=(
        "Breakfast has improved beyond recognition|It has earned its place on the counter|Three years and "
        "counting"
    ),
    blame=(
        "Breakfast has become an obstacle course|It has lost its place on the counter|Three weeks and it "
        "was over"
    ),
)

CLOTHES = Domain(
    nouns="jacket|coat|backpack|pair of boots|sweater|raincoat",
    past=False,
    scenes=(
        "Ordered two sizes in {month} and kept one|Wore it for a week of walking near {city}|A present for "
        "{who}|Bought before a wet weekend in {city}|Arrived on {day} in a plain box|I am tall and hard to "
        "fit"
    ),
    again="order it again|buy another in blue|wear it all {season}",
    rivals="my old one|the brand I normally buy|the cheaper copy|what I found in the shops in {city}",
    aspects=(
        Aspect(
            "fabric", SINGULAR, "soft|hard-wearing|breathable|thick", "scratchy|see-through|clammy|limp",
            "shrugs off rain|gets nicer with every wash", "soaks up rain|gets sadder with every wash",
        ),
        Aspect(
            "stitching", MASS, "neat|strong|careful", "sloppy|loose|crooked",
            "has held through a whole winter|shows real care",
            "came undone within a week|shows no care at all",
        ),
        Aspect(
            "cut", SINGULAR, "flattering|generous|modern", "boxy|skimpy|shapeless",
            "suits everyone who tries it|leaves room for a jumper",
            "suits nobody who tries it|leaves no room for a shirt",
        ),
        Aspect(
            "colour", SINGULAR, "rich|subtle|true", "garish|faded|dull",
            "has not run at all|is even better in daylight",
            "ran in the first wash|is even worse in daylight",
        ),
        Aspect(
            "zip", SINGULAR, "smooth|solid|reliable", "stiff|flimsy|temperamental",
            "glides with one finger|has never caught once",
            "needs two hands and a prayer|catches every single time",
        ),
        Aspect(
            "pockets", PLURAL, "deep|well placed|roomy", "tiny|badly placed|fake",
            "hold more than they should|close properly", "hold less than a coin|never close",
        ),
    ),
    praise="Strangers have asked where I got it|It comes on every trip now|Best thing in my wardrobe",
    blame=(
        "My partner has asked me to return it|It stays at home on every trip now|Worst thing in my wardrobe"
    ),
)

GOODS: tuple[Domain, ...] = (AUDIO, COMPUTER, APP, KITCHEN, CLOTHES)
