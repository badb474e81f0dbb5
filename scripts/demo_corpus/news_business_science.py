"""Lexicon of the news corpus: business and sci/tech. Every event, person and firm is invented."""

from __future__ import annotations

from demo_corpus.news_world_sports import Story

BUSINESS: tuple[Story, ...] = (
    Story(
        "{firm} profit beats forecasts|{firm} warns on sales for second quarter running|{firm} raises "
        "outlook after record quarter",
        "net income rose {pct} in the three months to {month}, the company said on {day}|revenue fell to "
        "{sum} as shoppers held back|analysts had expected margins to shrink after a weak {month}",
        "quarterly results from {firm}|a profit warning at {firm}",
    ),
    Story(
        "{firm} to buy rival {firm2} for {sum}|{firm} walks away from {firm2} merger|regulators clear {firm} takeover",
        "the cash and share offer values the group at a premium of {pct}|directors of the smaller company "
        "had urged holders to reject the bid|the deal would create the largest player in its market",
        "the takeover of {firm2} by {firm}|merger talks at {firm}",
    ),
    Story(
        "{firm} to cut {num} hundred jobs|{firm} shuts plant in {city}|{firm} freezes hiring until {month}",
        "chief executive {first} {sur} blamed weak orders and rising wages|unions will meet managers on "
        "{day}|the maker of office furniture said costs had to fall by {pct}",
        "layoffs at {firm}|a plant closure in {city}",
    ),
    Story(
        "shares slide on late selling|{country} stocks close at record|dollar slips ahead of jobs data",
        "the main index lost {pct}, its worst {day} this year|banks and retailers led the rally, traders "
        "said|bond yields fell as funds moved into safer paper",
        "a slide on the stock market|heavy selling of {country} shares",
    ),
    Story(
        "central bank in {city} holds rates|{country} inflation cools to {pct}|rate rise squeezes home buyers",
        "policymakers voted five to four to wait for more data|economists polled in {month} had forecast a "
        "smaller drop in prices|lenders said new mortgages were down by {pct} on the year",
        "the central bank's decision on rates|new inflation data from {country}",
    ),
    Story(
        "crude climbs on supply fears|gold eases from peak|coffee hits {num}-year high",
        "futures gained {pct} after exporters agreed to pump less|the contract for {month} delivery touched "
        "{price} before profit-taking set in|traders in {city} blamed frost and thin stocks",
        "a jump in oil prices|wild trading in coffee futures",
    ),
    Story(
        "{firm} files for bankruptcy|creditors give {firm} until {month}|{firm} auditors resign",
        "administrators hope to sell {num} stores as a going concern|the chain owes {sum} to banks and "
        "suppliers|bondholders were told on {day} that last year's accounts could not be relied on",
        "the bankruptcy of {firm}|the accounting scandal at {firm}",
    ),
    Story(
        "{firm} orders {num} jets|{firm} raises fares on fuel costs|{firm} adds routes from {city}",
        "the carrier said the deal was worth {sum} at list prices|the budget airline will pass the cost on "
        "to travellers|passenger numbers rose {pct} over the {month} holidays but margins did not",
        "{firm}'s order for new jets|higher air fares",
    ),
    Story(
        "{firm} prices shares at top of range|{firm} delays listing|{firm} raises {sum} from investors",
        "the offering values the group at {num} times earnings|bankers in {city} said demand had been thin|"
        "the founder keeps a majority of votes after the funding round",
        "{firm}'s stock market debut|a share sale by {firm}",
    ),
    Story(
        "{firm} boss {sur} to step down|{firm} names {sur} finance chief|board ousts {firm} founder",
        "the board thanked {first} {sur} for {num} years in charge|the shares rose {pct} on the news|"
        "shareholders had complained about pay and a falling dividend",
        "a boardroom fight at {firm}|the exit of {firm} chief {sur}",
    ),
    Story(
        "{club} sell stake to investment fund|{club} owners seek buyer|league signs television rights deal worth {sum}",
        "the sale values the club at {sum} including debt|revenue from tickets and shirts rose {pct} last "
        "season, the accounts show|the broadcaster outbid two rivals for {num} years of matches",
        "the sale of {club} to investors|a contract for television rights",
    ),
    Story(
        "chip maker {firm} doubles dividend|software group {firm} misses sales target|phone maker {firm} "
        "loses market share",
        "orders for processors lifted revenue by {pct}, the group told shareholders|licence income fell "
        "short of the {sum} that analysts had pencilled in|the company blamed cheaper rivals and cut its "
        "forecast for the year",
        "results from chip maker {firm}|a sales miss at software group {firm}",
    ),
    Story(
        "watchdog fines {firm} {sum} over price fixing|{firm} settles claim over loans|tariffs hit {country} exporters",
        "the regulator said three suppliers had agreed prices over dinner|the lender set aside {sum} to "
        "repay customers|steel and car makers expect orders to drop by {pct} from {month}",
        "a price-fixing case against {firm}|new tariffs on {country} exports",
    ),
    Story(
        "port strike leaves goods stranded|{country} factories report surge in orders|retail sales fall in {country}",
        "shipping lines put the cost of the dispute at {sum} a day|the index of purchasing managers rose "
        "for a third month|spending on clothes and furniture dropped by {pct}, the statistics office said",
        "the dock workers' dispute|new retail figures from {country}",
    ),
    Story(
        "storm damage costs insurer {firm} {sum}|war in region lifts arms maker {firm}|drought pushes up grain prices",
        "claims from two hurricanes wiped out half of the year's profit|orders for shells rose {pct}, the "
        "group told investors|millers paid {price} a tonne, the most since {month}",
        "storm losses at {firm}|a jump in grain prices",
    ),
    Story(
        "drug maker {firm} soars on vaccine sales|{firm} sells gene unit for {sum}|{firm} to spend {sum} on "
        "data centres",
        "the stock gained {pct} after full-year earnings doubled|proceeds will pay down debt, the finance "
        "director said|investors worry that the outlay will eat into margins",
        "the sale of {firm}'s gene unit|vaccine profits at {firm}",
    ),
    Story(
        "sportswear group {firm} trips on weak orders|bookmaker {firm} bets on merger|{firm} pays {sum} to "
        "sponsor tournament",
        "stocks of unsold shoes rose {pct} and the dividend was halved|the tie-up would save {sum} a year "
        "in costs|marketing spending at the brewer is set to rise by {pct}",
        "weak orders at {firm}|a sponsorship contract worth {sum}",
    ),
    Story(
        "{country} to sell stake in state railway|{country} parliament delays bank bail-out|{city} budget "
        "gap alarms bondholders",
        "advisers valued the holding at {sum} ahead of the offering|depositors withdrew {sum} in a week and "
        "the lender's shares were suspended|the yield on municipal debt rose to {pct}, dealers said",
        "the sale of {country}'s railway|a bank bail-out in {country}",
    ),
)

SCIENCE: tuple[Story, ...] = (
    Story(
        "probe sends first images from {moon}|rocket carrying {num} satellites lifts off|crew docks with "
        "orbiting station",
        "the craft flew within {num} kilometres of the surface, mission controllers said|engineers fixed a "
        "leaking valve hours before the launch on {day}|the capsule carried food, mail and an experiment "
        "with moss",
        "the landing on {moon}|the launch of a weather satellite",
    ),
    Story(
        "astronomers find {num} new planets around faint star|telescope spots oldest galaxy yet|comet "
        "passes close to earth",
        "the team at {univ} measured tiny dips in the light|the object formed when the universe was young, "
        "researchers say|amateurs with binoculars may see it low in the west on {day}",
        "the discovery of distant planets|a bright comet",
    ),
    Story(
        "flaw in {gadget} lets hackers in|{app} patches hole found by student|worm spreads through old {gadget}s",
        "researchers at {univ} showed how a crafted message could unlock the device|users were told to "
        "update before {day}, {num} weeks after the first report|the bug had sat in the code for {num} years",
        "a security flaw in a popular {gadget}|the spread of a computer worm",
    ),
    Story(
        "{firm} unveils {gadget} with folding screen|{app} adds private mode|{firm} promises {gadget} that "
        "charges in minutes",
        "the new model has {num} sensors and weighs less than an apple|the feature hides messages after an "
        "hour|early testers liked the camera but not the heat",
        "the unveiling of a new {gadget}|an update to {app}",
    ),
    Story(
        "machine translates lost language|program beats doctors at reading scans|{univ} builds chatbot for "
        "rare languages",
        "the model was trained on {num} thousand clay tablets|the neural network spotted tumours that {num} "
        "experts had missed|its makers at {univ} warn that it still invents words",
        "advances in artificial intelligence|a translation program from {univ}",
    ),
    Story(
        "gene behind rare disease found|gut bacteria linked to sleep|stem cells repair damaged hearts in mice",
        "scientists at {univ} compared the cells of {num} families|the study followed volunteers for {num} "
        "years|the work by {univ} biologists, in its early days, may point to new drugs",
        "a gene study at {univ}|the debate about stem cells",
    ),
    Story(
        "fossil in {country} rewrites story of birds|bones of giant reptile found near {city}|ancient "
        "footprints puzzle researchers",
        "the animal had feathers and teeth, say palaeontologists at {univ}|a farmer came across the skull "
        "in {month}|dating of the rock puts it at {num} million years",
        "the discovery of a fossil near {city}|new bones from {country}",
    ),
    Story(
        "{univ} team builds battery from salt|solar cell sets efficiency record|fusion reactor runs for {num} seconds",
        "the device loses little charge after {num} thousand cycles|engineers stacked two thin films to "
        "catch more light|the plasma, hotter than the core of the sun, stayed calm throughout, physicists "
        "said",
        "research on cheap batteries|a fusion experiment at {univ}",
    ),
    Story(
        "ice cores reveal {num} thousand years of climate|warm seas bleach reef off {country}|melting "
        "glacier uncovers forest",
        "chemists at {univ} read the bubbles like a diary|divers mapped the corals for {num} weeks|the logs "
        "are so well preserved that insects were found in the bark",
        "the study of ancient ice|a survey of coral reefs",
    ),
    Story(
        "{univ} physicists link {num} quantum bits|robot hand learns to peel fruit|new chip runs on light",
        "the prototype works only near absolute zero|cameras in each finger let it feel what it holds|the "
        "prototype moves data without wires and uses a tenth of the power",
        "progress in quantum computing|a robot built at {univ}",
    ),
    Story(
        "study explains why sprinters slow with age|sensor in football measures spin|engineers test "
        "crash-proof cycling helmet",
        "muscle fibres, not lungs, set the limit, say scientists at {univ}|the ball reports every kick to a "
        "laptop at a thousand readings a second|the laboratory fired the helmet at a steel plate {num} times",
        "a laboratory study of sprinters|research on helmets",
    ),
    Story(
        "{app} goes dark for {num} hours|{firm} brings back old browser|users flee {app} over tracking",
        "engineers traced the outage to a single mistyped line|the open-source version loads pages in half "
        "the time|the setting that shares location is on by default, a researcher found",
        "the outage at {app}|a row over tracking in {app}",
    ),
    Story(
        "satellites track illegal fishing off {country}|drones map flooded streets of {city}|software "
        "predicts price of bread",
        "the algorithm reads radar images and flags ships that hide|maps made from the air reached rescuers "
        "within minutes, the developers said|researchers at {univ} fed it {num} years of harvests",
        "mapping work by satellite|a tool for tracking ships",
    ),
    Story(
        "vaccine shows promise in early trial|simple blood test spots illness {num} years early|sleep app "
        "no better than book, trial finds",
        "antibodies were found in most volunteers, doctors at {univ} report|the method looks for fragments "
        "of a protein|the volunteers wore electrodes for {num} nights",
        "a vaccine trial at {univ}|new findings on sleep",
    ),
    Story(
        "government laboratory in {city} switches on fastest computer|{country} tests voting by phone|army "
        "drone learns to land itself",
        "the machine does in a day what took its forerunner {num} years, engineers said|cryptographers at "
        "{univ} checked every ballot without seeing one|the code, written at {univ}, steers by the shadows "
        "on the ground",
        "a test of voting software in {country}|the fastest computer in {city}",
    ),
    Story(
        "mathematician beats the market with old formula|algorithm spots false accounts|online currency hit "
        "by coding slip",
        "the proof by a {univ} researcher shows how random walks bunch together|the software compares "
        "digits that honest ledgers share, its author at {univ} says|a misplaced bracket locked users out "
        "of {sum}, programmers found",
        "a coding slip in an online currency|a proof by a {univ} mathematician",
    ),
    Story(
        "quake sensors go under the sea|storm model sees a day further ahead|earliest map of flood found in clay",
        "the cable off {country} doubles as a listening post, geologists said|the forecast program runs on "
        "a grid of {num} thousand cells|the tablet was read with x-rays at {univ}",
        "a new storm model from {univ}|sensors on the sea floor",
    ),
    Story(
        "bees taught to score goals|octopus wins game of memory|computer learns football by watching",
        "the insects rolled a ball for sugar in an experiment at {univ}|the animal remembered {num} "
        "patterns, biologists report|the network saw {num} thousand matches and now predicts passes",
        "the football lessons of a computer|bee experiments at {univ}",
    ),
)
