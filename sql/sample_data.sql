-- Sample data for a development database: one user (test@example.com, password testpass123) with a resume and a dozen
-- applications in all phases. Run as an administrator, as often as you like: once the user is there, nothing is done,
-- so what you changed or deleted stays so. Companies, people and postings are made up; dates count back from today.
--
-- Mended of the requirement: its resume was shorter than its own CHECK, and its hash was not one of testpass123.
DO $sample$
DECLARE
	v_user CONSTANT uuid := '123e4567-e89b-12d3-a456-426614174000';
	v_today CONSTANT timestamptz := date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
BEGIN
	IF EXISTS (SELECT FROM public.users AS u WHERE u.id = v_user OR u.email = 'test@example.com') THEN
		RETURN;
	END IF;

	INSERT INTO public.users (id, email, password_hash, full_name, created_at, updated_at)
	VALUES (v_user, 'test@example.com', '$2b$12$BUF2UhKHo/Puod63Ixq73uMROMpxulpEE.gYywYKxsYOzo5.iTc7C', 'Test User',
		v_today - interval '64 days', v_today - interval '64 days');

	INSERT INTO public.user_resumes (id, user_id, name, content, focus_area, is_primary, created_at, updated_at) VALUES
	('123e4567-e89b-12d3-a456-426614175001', v_user, 'Software Developer Resume', $md$# Test User

Backend developer, nine years of services that other people depend on. Based in Rotterdam, works in English and Dutch.

## Experience

**Senior Software Developer, Harbour Logistics** (2021 to now)
- Rebuilt the slot-booking service of 40 terminals from a nightly batch to a queue; bookings are confirmed in under two
  seconds instead of the next morning.
- Moved 1.2 TB of shipment history to partitioned PostgreSQL tables without downtime, cutting the slowest report from
  eleven minutes to nine seconds.
- Mentor two juniors; introduced short design notes that are reviewed before code is.

**Software Developer, Tech Corp** (2017 to 2021)
- Wrote and ran the payment reconciliation service, 300,000 transactions a day, in Go and later C.
- Took the on-call load from eleven pages a week to one by fixing causes, not alerts.

## Skills

C, Go, Python, SQL; PostgreSQL, nginx, Linux; profiling, capacity planning, clear writing.

## Education

BSc Computer Science, Delft University of Technology, 2016
$md$, 'software_development', true, v_today - interval '63 days 14 hours', v_today - interval '20 days 10 hours'),
	('123e4567-e89b-12d3-a456-426614175002', v_user, 'Team Lead Resume', $md$# Test User

Engineer who leads small teams: planning that survives contact with reality, hiring, and calm incident response.

## Leading

- Led a team of five through the replacement of a booking platform that could not be switched off.
- Hired four engineers; all four are still there.
- Wrote the incident handbook that three other teams adopted.

## Building

Still reviews code every day. C, Go, PostgreSQL, Linux.
$md$, 'management', false, v_today - interval '41 days 9 hours', v_today - interval '41 days 9 hours');

	INSERT INTO public.applications (id, user_id, name, company_name, role_title, job_url, location, priority_level,
		created_at, updated_at, job_description)
	SELECT ('123e4567-e89b-12d3-a456-4266141741' || lpad(a.number::text, 2, '0'))::uuid, v_user,
		lower(regexp_replace(a.company || '_' || a.role, '[^a-zA-Z0-9]', '_', 'g'))
			|| to_char((v_today - a.age) AT TIME ZONE 'UTC', '_YYYY_MM_DD'),
		a.company, a.role, a.url, a.location, a.priority::public.priority_level_type,
		v_today - a.age, v_today - a.age, a.description
	FROM (VALUES
	(1, 'Kestrel Payments', 'Senior Backend Engineer', 'https://careers.kestrel-payments.example/jobs/4411',
	'Amsterdam, hybrid', 'high', interval '58 days 13 hours', $md$Kestrel moves money between 2,300 shops and 14 banks. Our ledger team (six people) is looking for a senior backend engineer who likes it when numbers add up.

What you will do
- Own the posting engine: C and PostgreSQL, about 900 postings per second at peak
- Design the next reconciliation, so that a late bank file is an ordinary event rather than an incident
- Share an on-call week once in six, with a budget for removing whatever woke you up

What we look for
- Several years with a relational database under real load; you can read a query plan and say what is wrong with it
- Care about failure: retries, idempotency, partial outages
- You explain trade-offs in writing

We offer 85,000 to 98,000 euros, 28 days of leave and a four-day week on request.$md$),
	(2, 'Nordlys Energy', 'Platform Engineer', 'https://nordlys.example/jobs/platform-engineer',
	'Remote, Europe', 'high', interval '51 days 9 hours', $md$Nordlys balances 60,000 home batteries against the Nordic power market. Every fifteen minutes we decide which of them charge, and every fifteen minutes we have to be right.

As platform engineer you run the ground this stands on: Linux hosts in two regions, PostgreSQL with streaming replication, a message bus, and the tooling that lets eight product developers deploy on their own. You will improve failover (today four minutes, wanted one), write runbooks people really use, and say no to complexity we do not need.

You know Linux and networking in depth, have operated PostgreSQL through at least one bad night, and can write a small program in C, Go or Rust when a script will not do. Fully remote within two hours of Copenhagen time.$md$),
	(3, 'Atelier Maps', 'C Developer, Routing', 'https://ateliermaps.example/careers/c-developer-routing',
	'Utrecht', 'medium', interval '47 days 15 hours', $md$Atelier Maps makes route planning for people who walk, cycle and use a wheelchair. Our router is 40,000 lines of C17 that answer in six milliseconds, and we want to keep it that way while the network doubles.

You will work on contraction hierarchies with changing weights, memory-mapped graph files and an update path that takes a new kerb ramp into account within the hour. We review each other's code carefully, fuzz every parser and publish our benchmarks. Experience with graph algorithms is welcome; curiosity about them is required.$md$),
	(4, 'Fjordbank', 'Database Reliability Engineer', 'https://jobs.fjordbank.example/dbre-2',
	'Oslo or remote', 'medium', interval '40 days 11 hours', $md$Fjordbank runs 210 PostgreSQL databases for retail banking. We are hiring a database reliability engineer to join a team of four.

Responsibilities: version upgrades without a maintenance window, backup and restore drills every month, capacity planning, query review with product teams, row level security policies and their audits.

Requirements: deep PostgreSQL knowledge (replication, vacuum, locking, planner), automation in Python or Go, the habit of testing a restore before trusting a backup. Norwegian is useful, not needed.$md$),
	(5, 'Bright Harbor Health', 'Lead Developer, Patient Portal', 'https://brightharborhealth.example/careers/lead-portal',
	'Antwerp, hybrid', 'high', interval '33 days 10 hours', $md$Half a million patients read their results in our portal. We look for a lead developer who keeps it understandable, accessible and dull in the best sense.

You lead four developers, stay in the code about half of your time, and answer for privacy by design: every access is attributable, every record belongs to exactly one patient. The stack is Go, PostgreSQL and server-rendered HTML with very little JavaScript. WCAG 2.2 AA is a release criterion here. Dutch at B2 or better.$md$),
	(6, 'Quillmark', 'Software Engineer, Search', 'https://quillmark.example/jobs/search',
	'Berlin', 'medium', interval '27 days 16 hours', $md$Quillmark is a reference manager used by 90,000 researchers. The search team makes a library of ten thousand papers feel like a small bookshelf.

You will build ranking that combines full-text and vector similarity, measure recall honestly, and keep the index fresh while people edit. We use PostgreSQL with pgvector and prefer exact search until numbers say otherwise. Experience with information retrieval helps; a feeling for what users meant to type helps more.$md$),
	(7, 'Openlands Cooperative', 'Backend Developer', NULL,
	'Ghent', 'low', interval '22 days 12 hours', $md$Openlands is a cooperative of 300 small farms that sell directly to their neighbourhood. We need a backend developer for three or four days a week.

You will look after ordering, delivery rounds and invoicing: one well-kept monolith, PostgreSQL and a patient group of users who call when something is odd. You decide together with the farmers what comes next. Modest pay, good vegetables.$md$),
	(8, 'Sable Robotics', 'Embedded Software Engineer', 'https://sable-robotics.example/jobs/embedded-17',
	'Eindhoven', 'medium', interval '16 days 9 hours', $md$Sable builds inspection robots for wind turbines. The software that keeps a forty-kilogram machine on a blade at eighty metres is written in C, tested on hardware every night, and reviewed twice.

You will write drivers and control loops for a new climbing unit, work on power budgets, and take part in field tests (harness training included). You bring solid C, an oscilloscope habit, and respect for state machines.$md$),
	(9, 'Lumen & Vale', 'Staff Engineer', 'https://lumenvale.example/staff-engineer',
	'London or remote', 'high', interval '11 days 14 hours', $md$Lumen & Vale publishes courses for museum and gallery staff. After six years of growth our platform has eleven services and twelve engineers, which is too many of the former.

As our first staff engineer you will find the seams, merge what belongs together, and leave each team with something it can hold in its head. You write more prose than code, and the code you do write removes some. You have done this before and can tell us what you would do differently.$md$),
	(10, 'Tidewater Analytics', 'Data Engineer', 'https://tidewater.example/careers/data-engineer',
	'Rotterdam', 'low', interval '7 days 10 hours', $md$Tidewater forecasts berth occupancy for eleven ports. We ingest ship positions, tides and weather, 70 million rows a day, and turn them into a number that a harbour master can trust.

You will own the pipelines from raw feed to feature table: SQL first, Python where it must be. We value data contracts, back-fills that can be repeated, and dashboards that say when they are wrong.$md$),
	(11, 'Meridian Public Library', 'Systems Developer', 'https://meridianlibrary.example/vacancies/systems-developer',
	'The Hague', 'medium', interval '3 days 8 hours', $md$The Meridian Public Library lends two million books a year through 19 branches. We are replacing a catalogue from 1998, in public, with open standards.

You will write services around MARC and linked data, help branches move over one at a time, and document what you do so that other libraries can follow. Civil-service terms, 36 hours a week, and nobody will ever ask you to increase engagement.$md$),
	(12, 'Corvid Security', 'Software Engineer, Fuzzing', 'https://corvidsec.example/jobs/fuzzing',
	'Remote', 'medium', interval '20 hours', $md$Corvid finds memory-safety bugs in the parsers that everybody depends on, and sends patches. Our fuzzing platform runs 4,000 cores around the clock.

You will write harnesses for C libraries, triage and minimise crashes, and improve the scheduler that decides what to run next. You have found bugs in other people's code and were kind about it. Reports are public after ninety days; so is the thank-you.$md$)
	) AS a (number, company, role, url, location, priority, age, description);

	INSERT INTO public.documents (user_id, application_id, document_type, created_at, updated_at, content)
	SELECT v_user, a.id, d.type::public.document_type_enum, a.created_at + d.later, a.created_at + d.later, d.content
	FROM (VALUES
	(1, 'research_report', interval '2 hours', $md$# Kestrel Payments

## In short
Payment processor, founded 2014, about 140 people, profitable since 2022. The ledger team is small and old in the good sense: four of six have been there longer than three years.

## What they run
- A posting engine in C, PostgreSQL 16 behind it, one primary and two standbys
- Bank files arrive over SFTP; reconciliation is a nightly job and the known sore spot

## What matters to them
The posting says *late bank file* and *ordinary event* in one sentence. Their engineering blog has three articles on idempotency keys and one honest post-mortem about a double settlement in 2024.

## Questions to ask
1. How is a correction posted: reversal, or adjustment?
2. Who decides when the ledger is closed for a day?
$md$),
	(1, 'optimized_resume', interval '1 day 3 hours', $md$# Test User
*Backend engineer for systems in which numbers must add up*

## Closest to this role
- Ran payment reconciliation at Tech Corp for four years: 300,000 transactions a day, unexplained differences brought from 40 a month to none.
- Made retries safe with idempotency keys kept beside the posting, in the same transaction.
- Read query plans for a living: the slowest report at Harbour Logistics went from eleven minutes to nine seconds.

## On call
Eleven pages a week became one; the budget went into causes.

## Skills
C, PostgreSQL, Linux, Go. Design notes before code.
$md$),
	(1, 'cover_letter', interval '2 days 1 hour', $md$Dear ledger team,

your posting asks for somebody who likes it when numbers add up. For four years mine had to: I wrote and ran the reconciliation of a payment service, and my favourite week was the one in which the list of unexplained differences stayed empty for the first time.

What I would bring is a dislike of heroic nights. A bank file that comes late is not an incident if the system was built to wait for it, and I have built one that does.

I would be glad to hear how you post corrections, and to tell you about the one I got wrong.

Kind regards
Test User
$md$),
	(2, 'research_report', interval '5 hours', $md$# Nordlys Energy

## In short
Virtual power plant, 60,000 batteries, markets in four countries. 75 people, of whom 22 engineers.

## Technical picture
- Two regions, streaming replication, failover by hand in about four minutes
- The market closes every quarter of an hour: a failover that takes four costs a quarter of a period

## People
Platform lead gave a talk on "boring failover" in Aarhus; slides argue for fencing first and automation second.

## Risks
Growth of 2.5 times in a year; on-call of three people until this position is filled.
$md$),
	(2, 'optimized_resume', interval '2 days', $md$# Test User
*Keeps PostgreSQL and Linux calm under load*

- Moved 1.2 TB to partitioned tables while it was in use; nobody noticed, which was the plan.
- Practised failover monthly at Harbour Logistics: from six minutes and a phone call to 50 seconds and a log line.
- Wrote the runbooks that new colleagues used alone in their second week.

C, Go, Python; PostgreSQL replication, nginx, systemd.
$md$),
	(2, 'cover_letter', interval '3 days 4 hours', $md$Dear Nordlys team,

a failover of four minutes in a market of fifteen is a number that one wants to make smaller. At Harbour Logistics we went from six minutes to fifty seconds, mostly by deciding beforehand what the machine may decide alone.

I prefer few parts that I understand to many that promise much, and I write runbooks for the colleague who has been awake for ten minutes. Remote work within your hours suits me well.

I look forward to talking about fencing.

Test User
$md$),
	(3, 'research_report', interval '1 day', $md$# Atelier Maps

Twelve people, a foundation as owner, customers are cities and transit agencies. The router is open source, so the code could be read before applying: careful error handling, tests beside each file, fuzz targets for all four input formats.

**Interesting problem:** weights change hourly (lifts out of order, works on the pavement), which a plain contraction hierarchy does not like.

**Watch out:** funding from two cities ends next year; ask about it.
$md$),
	(3, 'optimized_resume', interval '4 days', $md$# Test User
*C developer who measures before and after*

- Reconciliation service rewritten in C17: a third of the memory, results byte for byte the same over 90 days of input.
- Memory-mapped, versioned data files with readers that never wait.
- Fuzzes every parser; two of the crashes found were in libraries and have been fixed there.
$md$),
	(3, 'cover_letter', interval '5 days 2 hours', $md$Dear Atelier Maps,

I read your router before writing this letter, and stayed for the comments: they say why. That is how I try to work too.

My own C runs where money is counted, which has made me careful with overflow and fond of small functions. Graphs with changing weights would be new to me in practice, and are the reason I write.

My grandmother uses a wheelchair in Utrecht. She has opinions about your map and would like them to be considered.

With kind regards
Test User
$md$),
	(4, 'research_report', interval '3 hours', $md$# Fjordbank

- Retail bank, 1.1 million customers, cloud and own data centres
- 210 PostgreSQL databases, versions 14 to 17; upgrade to one version is this year's goal
- Audit by the supervisor every two years: row level security came out of the last one

The team publishes its restore drills: last year 24 of 24 succeeded, the slowest took three hours.

**To prepare:** logical replication for upgrades, lock queues, what makes a policy slow.
$md$),
	(4, 'optimized_resume', interval '3 days', $md$# Test User
*Database reliability from the developer's side*

- Upgraded 13 databases by logical replication, the longest write pause eight seconds.
- Restore drills each month, measured and written down.
- Row level security for a shared schema of 40 terminals: one policy per table, index-friendly, tested for every verb.
$md$),
	(5, 'research_report', interval '6 hours', $md$# Bright Harbor Health

Hospital group with its own software house of 60. The portal won an accessibility prize in 2025; the jury named the printable results page.

## The lead's job
Four developers, one designer, a privacy officer who reads pull requests. Half of the time in code is realistic according to the last lead, who moved on within the house.

## Language
Meetings are in Dutch. Documentation is in English.
$md$),
	(5, 'optimized_resume', interval '1 day 6 hours', $md$# Test User
*Leads small teams, stays in the code*

- Five people, one platform that could not be switched off, replaced within eleven months.
- Access by policy in the database: a record is visible to its owner and to nobody by accident.
- Server-rendered pages, tested with a keyboard and a screen reader before each release.

Dutch C1, English C2.
$md$),
	(6, 'research_report', interval '9 hours', $md$# Quillmark

Founded by two librarians and an engineer; 31 people. Pays for itself by university licences.

## Search today
Full text in PostgreSQL, vectors in pgvector, exact search for each user's own library. They published their reasoning: with ten thousand papers per user, scanning is fast enough and misses nothing.

## What seems open
Combining two scores of different scale. Their blog tries reciprocal rank fusion and is not happy with it yet.
$md$),
	(6, 'optimized_resume', interval '2 days 5 hours', $md$# Test User
*Engineer with a habit of measuring recall*

- Built search over eight million shipment notes: full text first, similarity second, a labelled set of 400 questions to judge both.
- Found that the approximate index missed one answer in five, and that exact search was fast enough.
- C and SQL close to the data; plain HTML close to the user.
$md$),
	(7, 'research_report', interval '1 day 2 hours', $md$# Openlands Cooperative

300 farms, 9,000 households, one developer so far, who is retiring in spring. Code is PHP and PostgreSQL, with tests for invoicing and for little else. Everybody who was asked speaks well of working there.

Three days a week would leave time for the course in the evenings. Pay is about two thirds of the market.
$md$),
	(8, 'research_report', interval '4 hours', $md$# Sable Robotics

- 45 people, customers are operators of offshore wind parks
- C11 on Cortex-M7, a real-time kernel of their own, hardware in the loop every night
- One serious incident (2023, a dropped unit, nobody hurt); the public report is excellent and names a state machine that could be left in an unlisted state

Field tests mean two weeks a year at sea.
$md$),
	(9, 'research_report', interval '7 hours', $md$# Lumen & Vale

Eleven services for twelve engineers. Two of them are called `core`, which says something.

**Why now:** the head of engineering left in summer; the new one asked for this position as a condition.

**What they would like to hear:** a story of services merged, with what went wrong. The booking platform is a good one: three services became one, and the one regret is having kept the old queue for a year.
$md$),
	(10, 'research_report', interval '1 day 1 hour', $md$# Tidewater Analytics

Spin-off of a port authority, 26 people, ten minutes by bicycle. Forecasts are published with their error, which is rare and likeable.

Data engineering is SQL in PostgreSQL and a scheduler. Seventy million rows a day is less than it sounds: partition by day, keep raw data, build features again from it.
$md$)
	) AS d (number, type, later, content)
	JOIN public.applications AS a
		ON a.id = ('123e4567-e89b-12d3-a456-4266141741' || lpad(d.number::text, 2, '0'))::uuid;

	-- The phases were set just now; the applications were last worked on when their last document was written.
	UPDATE public.applications AS a
	SET updated_at = (SELECT max(d.updated_at) FROM public.documents AS d WHERE d.application_id = a.id)
	WHERE a.user_id = v_user AND a.research_completed;
END
$sample$;
