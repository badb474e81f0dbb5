"""Lexicon of the review corpus: restaurants, hotels, tours, courses. Written for this package."""

# fmt: off
from __future__ import annotations

from demo_corpus.lexicon import MASS, PLURAL, SINGULAR, Aspect, Domain

RESTAURANT = Domain(
    nouns="restaurant|bistro|café|place|diner|pizzeria|tapas bar",
    past=True,
    scenes=(
        "We came on a {day} evening with {who}|Booked a table for six in {month}|A quick lunch between "
        "meetings in {city}|{who} had been raving about it|Our anniversary dinner, of all nights|Walked in "
        "off the street in {city}|Second visit since they reopened in {month}"
    ),
    again="go back|book another table|eat there again",
    rivals="the place next door|our usual spot|anything else on that street|what we ate in {city}",
    aspects=(
        Aspect(
            "food", MASS, "delicious|fresh|imaginative|generous", "bland|greasy|lukewarm|overpriced",
            "was worth crossing town for|tasted of what it said on the menu|came out hot and quickly",
            "was not worth crossing the road for|tasted of the freezer|came out cold and late",
        ),
        Aspect(
            "service", MASS, "attentive|warm|unhurried|quick", "slow|surly|chaotic|indifferent",
            "made us feel like regulars|never missed a glass",
            "made us feel like a nuisance|missed every glass",
        ),
        Aspect(
            "waiters", PLURAL, "cheerful|knowledgeable|patient", "rude|forgetful|bored",
            "remembered what we drank last time|could explain every dish|brought the children crayons "
            "unasked",
            "forgot what we had just ordered|could not explain one dish|brought the children nothing when "
            "asked",
        ),
        Aspect(
            "portions", PLURAL, "hearty|sensible|enormous", "tiny|mean|laughable",
            "left us too full for pudding|were made for sharing",
            "left us looking for chips|were made for a doll's house",
        ),
        Aspect(
            "dining room", SINGULAR, "cosy|lively|elegant|calm", "noisy|draughty|gloomy|sticky",
            "made you want to stay for another coffee|had a lovely hum",
            "made you want your coat on|had the charm of a bus station",
        ),
        Aspect(
            "pudding", SINGULAR, "light|memorable|superb", "soggy|frozen|sickly",
            "stopped all talk at the table|was gone in seconds",
            "was left by all at the table|stayed on the plate",
        ),
        Aspect(
            "bill", SINGULAR, "modest|fair|reasonable", "outrageous|padded|shocking",
            "was less than we feared|held no surprises",
            "was more than we feared|held two dishes we never had",
        ),
    ),
    praise="We ordered a second round just to stay|I scraped the plate|Book early, it fills up for a reason",
    blame=(
        "We paid for the first round just to leave|I pushed the plate away|No need to book, it is empty for "
        "a reason"
    ),
)

HOTEL = Domain(
    nouns="hotel|guesthouse|hostel|bed and breakfast|resort|inn",
    past=True,
    scenes=(
        "Three nights in {month} with {who}|A work trip to {city}|We arrived late on {day} after a delayed "
        "flight|Stopped here on the way to {city}|Booked last minute for a wedding in {city}|A long weekend "
        "with {who}"
    ),
    again="stay there again|book another night|come back in the {season}",
    rivals="the chain across the road|where we stayed in {city}|the place {who2} likes|our last few trips",
    aspects=(
        Aspect(
            "room", SINGULAR, "spotless|airy|quiet|charming", "dingy|stuffy|cramped|damp",
            "was bigger than in the photos|had everything we needed|looked out over the harbour",
            "was smaller than in the photos|had nothing we needed|looked out over the bins",
        ),
        Aspect(
            "bed", SINGULAR, "comfortable|enormous|heavenly", "lumpy|creaky|rock hard",
            "gave me the best sleep in months|was hard to leave",
            "gave me the worst sleep in months|was hard to bear",
        ),
        Aspect(
            "breakfast", SINGULAR, "lavish|fresh|excellent", "stale|meagre|dismal",
            "set us up for the day|ran late for the lie-in crowd|had real eggs and good coffee",
            "sent us out hungry|ran out before nine|had powdered eggs and bad coffee",
        ),
        Aspect(
            "staff", PLURAL, "friendly|discreet|helpful", "unhelpful|curt|invisible",
            "went out of their way|found us a taxi at midnight|knew our names by the second day",
            "stayed out of our way when needed|let us look for a taxi at midnight|lost our names and our "
            "booking",
        ),
        Aspect(
            "bathroom", SINGULAR, "sparkling|modern|roomy", "mouldy|filthy|freezing",
            "had hot water at any hour|smelled of clean linen", "had hot water at no hour|smelled of drains",
        ),
        Aspect(
            "neighbourhood", SINGULAR, "peaceful|handy|pretty", "bleak|rowdy|remote",
            "felt safe after dark|had three good bakeries", "felt grim after dark|had not one open shop",
        ),
        Aspect(
            "wifi", MASS, "fast|stable|free", "useless|patchy|absurdly dear",
            "worked in every corner|coped with a video call", "worked in no corner|dropped every video call",
        ),
    ),
    praise="We stretched it by a night|I slept like a child|We are already planning the next visit",
    blame="We cut it short by a night|I slept like a guard dog|We are already planning to forget the visit",
)

TOUR = Domain(
    nouns="tour|museum|boat trip|walking tour|day trip|exhibition",
    past=True,
    scenes=(
        "Joined on a {day} morning in {city}|We took {who} along|A gift voucher from {who}|Signed up "
        "through the hostel in {city}|Did this in {month}, out of season|Our only free day in {city}"
    ),
    again="do it again|join another one|take {who2} next time",
    rivals="the free one we did on {day2}|the audio guide|the bus tour in {city}|the one in the brochure",
    aspects=(
        Aspect(
            "guide", SINGULAR, "funny|passionate|well informed|patient", "monotonous|bossy|unprepared|grumpy",
            "knew every stone by name|kept even the teenagers listening|answered every question",
            "knew less than the leaflet|lost even the pensioners|waved away every question",
        ),
        Aspect(
            "route", SINGULAR, "clever|scenic|varied", "tedious|badly planned|aimless",
            "took us where the crowds do not go|ended at the right bar at the right time",
            "took us where only the crowds go|ended at a carpet shop",
        ),
        Aspect(
            "commentary", SINGULAR, "lively|fascinating|subtle", "dry|garbled|endless",
            "brought the old town to life|stuck to what matters",
            "put the old town to sleep|stuck to dates and more dates",
        ),
        Aspect(
            "organisation", MASS, "smooth|thoughtful|punctual", "shambolic|careless|late",
            "left nothing to chance|spared us every queue", "left everything to chance|spared us no queue",
        ),
        Aspect(
            "exhibits", PLURAL, "remarkable|well lit|hands-on", "dusty|badly lit|sparse",
            "told a story from room to room|kept us there past closing",
            "told no story in any room|had us out before the first coffee",
        ),
        Aspect(
            "group", SINGULAR, "small|friendly|relaxed", "huge|noisy|rushed",
            "was easy to be part of|left time for photos", "was easy to lose|left no time for photos",
        ),
    ),
    praise="The highlight of our week|The children asked to go again|We tipped double",
    blame="The low point of our week|The children asked to go home|We did not tip",
)

COURSE = Domain(
    nouns="course|class|workshop|evening class|seminar",
    past=True,
    scenes=(
        "Ten {day} evenings in {city}|Took it in {month} to brush up my {skill}|{who} and I signed up "
        "together|My employer paid for this one|I was a complete beginner at {skill}|Online, from a kitchen "
        "table in {city}"
    ),
    again="sign up for the next level|take another one there|do it over",
    rivals="the one I took in {month}|free videos online|the course book alone|my old school lessons",
    aspects=(
        Aspect(
            "teacher", SINGULAR, "inspiring|encouraging|clear|patient", "impatient|vague|bored|absent-minded",
            "had time for every question|made hard things look simple|remembered everyone's name",
            "had time for no question|made simple things look hard|remembered nobody's name",
        ),
        Aspect(
            "exercises", PLURAL, "useful|well graded|playful", "pointless|repetitive|muddled",
            "built on each other nicely|came from real life",
            "had no link to each other|came from another century",
        ),
        Aspect(
            "pace", SINGULAR, "comfortable|lively|sensible", "frantic|glacial|erratic",
            "left nobody behind|kept us on our toes", "left half of us behind|kept us yawning",
        ),
        Aspect(
            "handouts", PLURAL, "tidy|thorough|handy", "scruffy|outdated|sloppy",
            "have stayed on my desk|saved me a textbook",
            "went straight in the bin|sent me back to a textbook",
        ),
        Aspect(
            "classroom", SINGULAR, "bright|pleasant|well equipped", "stuffy|cold|cramped",
            "was a good place to think|had room for everyone",
            "was no place to think|had chairs for half of us",
        ),
        Aspect(
            "feedback", MASS, "honest|detailed|constructive", "sparse|careless|harsh",
            "told me what to work on|came the next day",
            "told me nothing I could work on|came after the exam",
        ),
    ),
    praise="I learned more than I hoped|I looked forward to it all week|My {skill} is unrecognisable",
    blame="I learned less than I feared|I dreaded it all week|My {skill} is exactly where it was",
)

OUTINGS: tuple[Domain, ...] = (RESTAURANT, HOTEL, TOUR, COURSE)
