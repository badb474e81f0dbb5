"""Lexicon of the news corpus: world and sports. Every event, person and club is invented."""

from __future__ import annotations

from typing import NamedTuple


class Story(NamedTuple):
    """One kind of event; alternatives are separated by bars, slots are in braces.

    Attributes:
        head: headlines without a full stop, lower case but for names.
        lead: their opening sentences, the first for the first headline, and so on.
        aside: noun phrases by which another story may mention this one in passing.
    """

    head: str
    lead: str
    aside: str


WORLD: tuple[Story, ...] = (
    Story(
        "{country} votes in closest election for decades|{sur} claims victory in {country} vote|opposition "
        "takes early lead in {country}",
        "polling stations in {city} stayed open late on {day} as queues of voters grew|{first} {sur} told "
        "supporters in {city} that the country had chosen a new start, with nearly all ballots counted|"
        "officials began a recount after fewer than {num} hundred votes separated the two candidates",
        "the {country} election|a presidential vote in {country}",
    ),
    Story(
        "{country} and {country2} reopen talks on disputed border|border talks stall over fishing rights|"
        "envoys meet in {city} to revive treaty",
        "foreign ministers from both countries will meet again next week, diplomats said|negotiators left "
        "{city} without a deal on {day} but agreed to keep the line open|the two governments have argued "
        "over the frontier for {num} years",
        "border talks in {city}|a treaty dispute between {country} and {country2}",
    ),
    Story(
        "floods force thousands from homes in southern {country}|strong quake shakes {city}|storm leaves "
        "villages cut off in {country}",
        "rescue teams reached the last of the stranded families on {day}, officials said|at least {num} "
        "people were hurt and schools were closed across the region|soldiers handed out water and blankets "
        "as rain kept falling",
        "the floods in {country}|a strong quake near {city}|storm warnings along the coast",
    ),
    Story(
        "thousands march in {city} over price of bread|protesters fill streets of {city} for third night|"
        "police and students clash in {country}",
        "demonstrators called for the interior minister to resign, and trade unions joined them on {day}|"
        "the government promised an inquiry after {num} arrests|tear gas drifted across the campus as "
        "officers made {num2} arrests",
        "mass protests in {city}|street marches against the government",
    ),
    Story(
        "former minister {sur} goes on trial over missing millions|court in {city} jails ex-president|"
        "judges delay ruling on {country} constitution",
        "{first} {sur} denies taking bribes while in office and says the case is political|prosecutors "
        "asked for {num} years in prison|the verdict could let the president stand for a third term",
        "the trial of {country}'s former president|a corruption case in {city}",
    ),
    Story(
        "aid convoy reaches besieged town in {country}|ceasefire holds for second day|rebels hand back "
        "airport in {country}",
        "trucks with food and medicine crossed the front line on {day} under a truce brokered by {country2}|"
        "both sides accused each other of shelling but said the agreement stood|the fighters left on foot "
        "under a truce that took {num} weeks to draft",
        "a fragile ceasefire in {country}|peace efforts led by {country2}",
    ),
    Story(
        "{country} coalition collapses after budget row|prime minister {sur} survives confidence vote|"
        "parliament rejects {sur}'s tax plan",
        "the smallest of three parties walked out on {day}, leaving the government short of a majority|"
        "lawmakers argued until dawn before the count, and {num} of them changed sides|the finance minister "
        "now has until {day} to find cuts that a majority can accept",
        "a confidence vote in {city}|the collapse of {country}'s government",
    ),
    Story(
        "{country} expels diplomats in spy row|ambassador summoned over leaked recording|{country} and "
        "{country2} swap prisoners at {city} airport",
        "{num} embassy staff were given until {day} to leave|the foreign ministry called the remarks "
        "hostile and asked for an apology|relatives waited on the tarmac as the plane landed",
        "a spy scandal in {country}|a prisoner swap between {country} and {country2}",
    ),
    Story(
        "ferry with {num} aboard runs aground off {country}|bus crash on mountain road in {country}|fire "
        "guts market in {city}",
        "coastguards lifted passengers to safety through the night|investigators are looking into whether "
        "the driver ignored a warning of ice|the mayor declared three days of mourning",
        "a ferry accident off {country}|a market fire in {city}",
    ),
    Story(
        "former goalkeeper {sur} elected mayor of {city}|ex-champion joins {country} cabinet|sports "
        "minister quits over stadium vote",
        "the retired captain won over voters with a promise of clean water and honest accounts|{first} "
        "{sur}, who once played in a cup final, now takes charge of the ministry of justice|parliament had "
        "asked who signed the contract for a ground that nobody uses",
        "the election of a former athlete in {city}|a row over a sports minister",
    ),
    Story(
        "parliament in {city} passes law on phone tapping|{country} switches off internet ahead of vote|"
        "cabinet splits over surveillance bill",
        "the law gives police access to messages without a judge|rights groups said the satellite and phone "
        "blackout was meant to silence the opposition|ministers defended the listening powers as a matter "
        "of national security",
        "a surveillance law in {country}|an internet blackout before the {country} vote",
    ),
    Story(
        "{country} halts grain exports amid hunger|leaders agree sanctions on {country}|{country} to "
        "nationalise mines, president says",
        "the decree takes effect on {day} and has alarmed neighbouring states|the measures hit banks and "
        "oil but spare medicine, diplomats said|{first} {sur} told a crowd in {city} that foreign companies "
        "had taken enough",
        "new sanctions on {country}|the president's decree on mines",
    ),
    Story(
        "general strike brings {country} to standstill|teachers and nurses walk out in {city}|{country} "
        "pensions protest turns violent",
        "trains, schools and courts were shut as {num} cities held rallies|unions want the government to "
        "drop its plan for Sunday shifts|ministers will meet union leaders on {day}",
        "a general strike in {country}|union protests in {city}",
    ),
    Story(
        "migrants rescued off coast of {country}|{country} closes camp on island|{country} and {country2} "
        "split over refugee quotas",
        "a navy ship brought {num} people ashore, most of them children|aid workers said families had slept "
        "in the open for weeks|interior ministers failed to agree on how to share new arrivals",
        "the refugee crisis in {country}|a dispute over asylum quotas",
    ),
    Story(
        "{country} bank queues turn into riots|finance minister {sur} flees {country}|currency protest shuts {city}",
        "savers who could not reach their deposits set fire to a town hall|prosecutors had charged the "
        "minister with moving public gold abroad|soldiers guarded the treasury as crowds demanded new "
        "leaders",
        "bank riots in {country}|the flight of a finance minister",
    ),
    Story(
        "{city} scraps bid to host games|team bus bombed in {country}|athletes barred at {country} border",
        "residents voted two to one against the plan, and the mayor who championed it resigned|militants "
        "claimed the attack, which wounded {num} people, the army said|guards turned back the runners "
        "because of a visa quarrel between the two governments",
        "a vote against the games in {city}|a visa quarrel with {country}",
    ),
    Story(
        "{country} fires missile over sea|satellite images show {country} troop build-up|{country} to join "
        "defence pact",
        "neighbours called an urgent meeting of the security council|{num} thousand soldiers have moved to "
        "the frontier, the general staff said|parliament backed the alliance by {num} votes after a stormy "
        "debate",
        "a missile test by {country}|{country}'s entry into a defence pact",
    ),
    Story(
        "cholera spreads in {country} camps|{country} shuts schools over new virus|health minister {sur} "
        "resigns over hospital fire",
        "doctors without water or light treated patients on the ground, aid groups said|soldiers enforced "
        "the curfew in {city} from {day}|relatives of {num} victims had marched to the ministry every week",
        "a cholera outbreak in {country}|the hospital fire in {city}",
    ),
)

SPORTS: tuple[Story, ...] = (
    Story(
        "{club} edge {club2} in shootout|{club} beat {club2} {score} to go top|late goal sinks {club}",
        "goalkeeper {first} {sur} saved two penalties on {day} night|the home side twice came from behind "
        "in front of a full stadium|{sur} headed in a corner with {num} seconds left to settle a scrappy "
        "match",
        "{club}'s win over {club2}|a cup final between {club} and {club2}",
    ),
    Story(
        "{sur} signs three-year deal with {club}|{club} break transfer record for {sur}|{club} turn down "
        "offer for striker {sur}",
        "the winger passed a medical on {day} and will wear the number {num} shirt|the fee is thought to be "
        "close to {sum}, the most the club has paid|the manager said the captain was going nowhere this "
        "season",
        "the transfer of {first} {sur} to {club}|{club}'s record signing",
    ),
    Story(
        "knee injury rules {sur} out of season|{sur} limps off in {club} draw|captain {sur} back in "
        "training after surgery",
        "the midfielder faces {num} weeks on the sidelines, the team doctor said|scans on {day} showed a "
        "torn ligament|the coach hopes to have the defender fit for the play-offs",
        "an injury to {club} captain {sur}|{sur}'s knee surgery",
    ),
    Story(
        "{club} sack coach after {num} defeats|{sur} named head coach of {country}|coach {sur} walks out on {club}",
        "the board acted on {day} with the team one place above the drop|the former defender takes over a "
        "side without a win since {month}|the players were told at training and the assistant will pick the "
        "next team",
        "the sacking of {club}'s coach|{country}'s search for a new coach",
    ),
    Story(
        "{sur} reaches third final in {city}|top seed {sur} crashes out in {city}|{sur} saves match point "
        "in five-set thriller",
        "the left-hander from {country} lost only {num} points on serve|the unseeded teenager across the "
        "net had never won a match on grass|rain stopped play twice before the world number {num2} closed "
        "it out",
        "the tennis open in {city}|{sur}'s run to the {city} final",
    ),
    Story(
        "{sur} takes stage after lone attack|yellow jersey changes hands in mountains|{country} rider {sur} "
        "wins in {city}",
        "the climber broke clear {num} kilometres from the line and was never caught|the overall lead "
        "shrank to {num} seconds before the time trial|a crash in the final bend held up the other sprinters",
        "the mountain stage of the cycling tour|a crash in the peloton",
    ),
    Story(
        "{sur} smashes marathon record in {city}|{country} sprinter {sur} strikes gold|{sur} defends swimming title",
        "the runner finished alone and wept on the road|a gust of wind one notch higher would have ruled "
        "the time out|the relay team added silver on the last day of the championships",
        "the athletics championships in {city}|a marathon record in {city}",
    ),
    Story(
        "{country} bowl out {country2} before lunch|{sur} hits century to lead {country} fight-back|rain "
        "saves {country} in final test",
        "the openers put on {num} before the spinner struck|{first} {sur} batted through the session with a "
        "broken finger|the series stays level with one match to play",
        "the cricket series between {country} and {country2}|the final test in {city}",
    ),
    Story(
        "{sur} scores {num} in {club} overtime win|{club} clinch play-off place|{club} trade guard {sur}",
        "the point guard hit a three at the buzzer to silence the arena|the visitors led by {num} after the "
        "third quarter|the coach praised the bench after a fourth road win in a row",
        "{club}'s overtime win|the basketball play-offs",
    ),
    Story(
        "{sur} banned after failed drug test|{sur} cleared of doping|league docks {club} six points",
        "the champion will miss the games and lose {num} medals|the tribunal in {city} heard that the "
        "sample had been stored too warm|the club broke spending rules and will appeal to the court of sport",
        "a doping case against {first} {sur}|the points penalty against {club}",
    ),
    Story(
        "stadium debt cannot stop {club} marching on|billionaire owner sees {club} win at last|{club} "
        "players unpaid but unbeaten",
        "the bank may own the ground but the fans own the night, said coach {sur}|the tycoon left his box "
        "to hug the goalkeeper after a {score} result|the squad voted to play on and scored {num} before "
        "the break",
        "{club}'s unbeaten run|a win for {club} in front of their owner",
    ),
    Story(
        "data scientist turned bowler {sur} stuns {country}|new shoe, new record: {sur} wins in {city}|"
        "video review denies {club} a winner",
        "the engineer, who writes software by day, took {num} wickets|the foam sole was tested in a "
        "laboratory all winter, and its wearer led from the gun|the referee needed three minutes at the "
        "screen before ruling out the goal",
        "a disputed video review in {club}'s match|a record run in {city}",
    ),
    Story(
        "{country} to meet {country2} in opening match|draw pairs {club} with {club2}|{country} name squad for games",
        "the holders kick off the tournament in {city} on {day}|the manager called it the hardest group of "
        "all|coach {sur} left out {num} veterans and called up two teenagers",
        "the tournament draw in {city}|the opening match between {country} and {country2}",
    ),
    Story(
        "{sur} holds nerve to win golf open by one|{sur} retains belt on points|{sur} on pole in {city}",
        "the veteran sank a long putt on the last green|judges gave the champion all but {num} rounds|the "
        "driver was two tenths quicker than a team-mate in qualifying on {day}",
        "the final round of the golf open|the grand prix in {city}|a title fight in {city}",
    ),
    Story(
        "{club} share points with {club2}|{club} bank on youth and win|{club} close gap at the top",
        "{sur} missed a late penalty in a goalless draw|three teenagers scored on their debut in front of "
        "the chairman|a fifth straight win cut the deficit to two points",
        "a goalless draw between {club} and {club2}|{club}'s fifth straight win",
    ),
    Story(
        "strike by players delays season|referees walk out over pay|{country} boycott final after visa row",
        "opening fixtures were moved to {month} while the union and the league talk|amateurs took the "
        "whistle in all {num} matches on {day}|the runners-up refused to take the field in {city}",
        "a players' strike|the boycott of the final in {city}",
    ),
    Story(
        "{sur} retires at top after {num} titles|{sur} to come out of retirement|{sur} voted player of the year",
        "the champion told fans in {city} that the body had won the argument|the sprinter will race again "
        "in {month} after two years as a banker|the forward took most of the votes from fellow professionals",
        "the retirement of {first} {sur}|the vote for player of the year",
    ),
    Story(
        "{country} sail to gold in storm|{sur} conquers icy slope in {city}|heat forces changes to {city} marathon",
        "the crew tore a sail and still crossed {num} seconds clear|the skier risked everything in fog to "
        "win by a hundredth|organisers moved the start to dawn after {num} runners collapsed last year",
        "the sailing regatta in {country}|the downhill in {city}",
    ),
)
