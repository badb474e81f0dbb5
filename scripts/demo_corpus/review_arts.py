"""Lexicon of the review corpus: films, books, series and shows. Written for this package."""

# fmt: off
from __future__ import annotations

from demo_corpus.lexicon import MASS, PLURAL, SINGULAR, Aspect, Domain

FILM = Domain(
    nouns="film|movie|thriller|comedy|drama|sequel|documentary",
    past=False,
    scenes=(
        "Saw this on a {day} night with {who}|Caught it at the little cinema in {city}|{who} picked this "
        "one for film night|Watched it twice, once with {who}|Went in knowing nothing but the title|"
        "Streamed it one wet {day} in {month}|A late screening in {city}, half the seats empty"
    ),
    again="watch it again|sit through it again|see it a second time",
    rivals="the first one|the director's last film|the book it is based on|most of what is out this {month}",
    aspects=(
        Aspect(
            "plot", SINGULAR, "clever|tight|inventive|gripping", "thin|muddled|predictable|far-fetched",
            "keeps you guessing until the last scene|earns every one of its twists|builds with real "
            "patience|holds together right to the end",
            "falls apart in the last half hour|runs out of ideas early|makes less sense the longer you "
            "think about it|gives away every one of its twists",
        ),
        Aspect(
            "acting", MASS, "natural|fearless|understated|warm", "wooden|shrill|flat|lazy",
            "carries even the weaker scenes|gives every line some weight|feels lived in|lifts the script",
            "sinks even the better scenes|drains every line of weight|feels like a table read|buries the "
            "script",
        ),
        Aspect(
            "dialogue", MASS, "sharp|witty|honest|believable", "clumsy|stilted|corny|endless",
            "crackles|sounds like people talking|says a lot in few words|had the whole row laughing",
            "clunks|sounds like nobody ever talked|says little in a lot of words|had the whole row sighing",
        ),
        Aspect(
            "pacing", MASS, "brisk|assured|confident|steady", "sluggish|uneven|rushed|leaden",
            "never lets go|gives the story room to breathe|makes two hours feel like one",
            "never gets going|gives the story no room to breathe|makes one hour feel like two",
        ),
        Aspect(
            "jokes", PLURAL, "fresh|dry|well timed|wonderfully daft", "stale|crude|laboured|mean-spirited",
            "land almost every time|make me smile even now|come from character, not from noise",
            "almost never land|made me check the time|come from noise, not from character",
        ),
        Aspect(
            "ending", SINGULAR, "moving|satisfying|brave|perfectly judged",
            "abrupt|sentimental|lazy|unearned",
            "ties it all together|stayed with me for days|left me with a lump in my throat|pays off",
            "ties up nothing|was gone from my mind by the car park|left me cold|wastes what came before",
        ),
        Aspect(
            "camera work", MASS, "elegant|gorgeous|fluid|striking", "shaky|murky|restless|drab",
            "makes a small budget look large|finds beauty in a bus stop|lets every scene glow",
            "makes a large budget look small|gave me a headache|hides half the action",
        ),
    ),
    praise=(
        "Stay for the credits|The best two hours I have spent in a cinema this {season}|I left grinning|"
        "Nobody in our row looked at a phone|I could have watched another hour"
    ),
    blame=(
        "Leave before the credits|The longest two hours I have spent in a cinema this {season}|We left "
        "early|Everybody in our row looked at a phone|I could have done with an hour less"
    ),
)

BOOK = Domain(
    nouns="book|novel|memoir|debut|collection|mystery",
    past=False,
    scenes=(
        "Read it on the train to {city}|Our book club chose this for {month}|{who} lent me a copy|Picked it "
        "up at the airport in {city}|Finished it on {day} at two in the morning|Bought it for the cover, I "
        "admit|Took it on holiday with {who}"
    ),
    again="read it again|pick up the next one|press it on a friend",
    rivals="her last novel|the earlier books in the series|anything else on the shortlist|the film version",
    aspects=(
        Aspect(
            "prose", MASS, "graceful|vivid|precise|supple", "purple|plodding|careless|overwrought",
            "sings off the page|never wastes a word|made me slow down to enjoy it|is worth reading aloud",
            "sits dead on the page|wastes whole paragraphs|made me skim to get through it|is best read "
            "quickly",
        ),
        Aspect(
            "heroine", SINGULAR, "complicated|gloriously stubborn|funny|convincing",
            "tiresome|passive|cardboard|smug",
            "feels like someone I know|grows with every chapter|surprised me more than once",
            "feels like nobody I know|learns nothing in any chapter|bored me more than once",
        ),
        Aspect(
            "opening chapters", PLURAL, "confident|haunting|playful|rich", "confusing|slow|cluttered|dry",
            "pull you straight in|set up everything that follows|could stand alone",
            "push you straight out|set up nothing that follows|could be cut",
        ),
        Aspect(
            "setting", SINGULAR, "beautifully drawn|atmospheric|unusual|well researched",
            "generic|sketchy|borrowed|implausible",
            "is so clear you can smell it|becomes a character in its own right|rings true",
            "is so vague it could be anywhere|becomes a postcard and nothing more|rings false",
        ),
        Aspect(
            "argument", SINGULAR, "careful|original|persuasive|lucid", "shallow|lopsided|repetitive|muddy",
            "changed how I see the subject|stands up to a second look|answers the hard questions",
            "told me nothing about the subject|collapses at a second look|dodges the hard questions",
        ),
        Aspect(
            "ending", SINGULAR, "tender|daring|quietly devastating|well earned",
            "tidy|hurried|cheap|baffling",
            "made me turn back to page one|is one I will remember|lands with full force",
            "made me wish I had stopped at page one|is one I have forgotten|lands with a thud",
        ),
    ),
    praise=(
        "I missed my stop twice|I read the last page and started over|Lent to three friends and never "
        "returned|It kept me up all night"
    ),
    blame=(
        "I gave up twice|I skipped to the last page and felt no loss|Offered to three friends and declined "
        "by all|It put me to sleep every night"
    ),
)

SHOW = Domain(
    nouns="show|concert|musical|play|gig|performance",
    past=True,
    scenes=(
        "We had tickets for the {day} evening|Went with {who} for a birthday|A sold-out night in {city}|Our "
        "first time at the old theatre in {city}|Drove two hours from {city} for this|{who} had a spare "
        "ticket|Third stop of the {month} tour"
    ),
    again="go again|book for next year|queue for tickets again",
    rivals="last year's tour|the original cast|the band that opened|what we saw in {city}",
    aspects=(
        Aspect(
            "singing", MASS, "soaring|heartfelt|effortless|rich", "thin|strained|out of tune|joyless",
            "gave me goosebumps|filled the hall without effort|got better with every song",
            "gave me a headache|never filled the hall|got worse with every song",
        ),
        Aspect(
            "staging", MASS, "imaginative|bold|elegant|playful", "cheap|fussy|static|cluttered",
            "used every inch of the stage|turned a few crates into a ship|served the story",
            "wasted most of the stage|turned a ship into a few crates|smothered the story",
        ),
        Aspect(
            "sound mix", SINGULAR, "crisp|warm|balanced|clear", "muddy|deafening|tinny|patchy",
            "let every instrument through|was spot on even at the back",
            "let nothing through but the drums|was hopeless even at the front",
        ),
        Aspect(
            "second half", SINGULAR, "thrilling|generous|joyful|tense", "flabby|repetitive|dreary|aimless",
            "brought the house down|flew by|made up for the late start",
            "sent people home early|dragged|felt longer than the drive",
        ),
        Aspect(
            "set list", SINGULAR, "generous|surprising|well chosen|crowd-pleasing",
            "short|safe|puzzling|stingy",
            "had something for everyone|went from whisper to roar|saved the best for last",
            "had nothing for the old fans|went nowhere|left out the best",
        ),
        Aspect(
            "seats", PLURAL, "comfortable|well placed|roomy", "cramped|hard|badly placed",
            "gave us a perfect view|were worth the extra money",
            "gave us a view of a pillar|were a waste of money",
        ),
    ),
    praise="The whole room stood up at the end|We were humming all the way home|I would have paid double",
    blame="Half the room was gone by the end|We sat in silence all the way home|I would have paid to leave",
)

SERIES = Domain(
    nouns="series|podcast|season|show|drama",
    past=False,
    scenes=(
        "Started it on {day} and was done by {day2}|{who} would not stop talking about this|We watched an "
        "episode a night through {month}|Found it by accident while ill in bed|Listened on the way to work "
        "in {city}"
    ),
    again="start it over|sit through another season|give it another {season}",
    rivals="the first season|the original|anything else that came out in {month}|the radio version",
    aspects=(
        Aspect(
            "writing", MASS, "sly|humane|sharp|inventive", "lazy|preachy|sloppy|formulaic",
            "trusts the audience|gets better by the hour|finds something new in an old idea",
            "talks down to the audience|gets worse by the hour|finds nothing new in an old idea",
        ),
        Aspect(
            "cast", SINGULAR, "likeable|perfectly matched|superb|charming",
            "miscast|bland|charmless|mismatched",
            "has real chemistry|makes you care by episode two|is a pleasure to spend time with",
            "has no chemistry|gives you no reason to care by episode six|is a chore to spend time with",
        ),
        Aspect(
            "finale", SINGULAR, "moving|stunning|fitting|generous", "limp|rushed|contrived|hollow",
            "rewards the wait|answers just enough|had us all in tears",
            "makes the wait feel foolish|answers nothing|had us all in giggles for the wrong reasons",
        ),
        Aspect(
            "middle episodes", PLURAL, "tense|rich|funny|surprising", "padded|shapeless|dull|interchangeable",
            "deepen every character|fly past|are where it finds its feet",
            "stall every character|crawl past|are where it loses its way",
        ),
        Aspect(
            "host", SINGULAR, "curious|funny|gentle|well informed", "smug|grating|unprepared|self-important",
            "asks what I wanted to ask|lets guests finish|has a voice I could listen to for hours",
            "asks what nobody wanted to ask|talks over guests|has a voice I could not take for an hour",
        ),
    ),
    praise="I am rationing the last episodes|We cancelled a dinner to finish it|I cannot wait for more",
    blame=(
        "I never got to the last episode|We found excuses not to finish it|I can wait for more, for years "
        "if need be"
    ),
)

ARTS: tuple[Domain, ...] = (FILM, BOOK, SHOW, SERIES)
