-- Search: the language of questions, what of a text is shown, and that neither text nor question can do harm.
\ir fixtures.psql

-- What a search for `p_query` shows of a text in which "the hidden needle" stands at a place.
CREATE FUNCTION pgtap.shown_at(p_place integer, p_size integer, p_query text) RETURNS text LANGUAGE sql AS $$
	SELECT jobforge.search_snippet(
		left(repeat('words that nobody looks for and which go on and on, without end, some filling ',
			p_place / 78 + 1), p_place) || ' the hidden needle here ' || repeat('more straw ', (p_size - p_place) / 11),
		jobforge.search_query(p_query))
$$;

SET SESSION AUTHORIZATION jobforge_app;
SET LOCAL client_min_messages = warning;
SELECT set_config('app.current_user_id', :user_a, true) \g /dev/null

-- The language

SELECT is(jobforge.search_vector(t.text) @@ jobforge.search_query(t.query), t.found,
	format('"%s" in "%s"', t.query, t.text))
FROM (VALUES
	('an engineer of distributed systems', 'system engineers', true),
	('an engineer of distributed systems', '"distributed systems"', true),
	('an engineer of distributed systems', '"systems distributed"', false),
	('an engineer of distributed systems', 'cook or engineer', true),
	('an engineer of distributed systems', 'cook OR waiter', false),
	('an engineer of distributed systems', 'engineer -cook', true),
	('an engineer of distributed systems', 'engineer -distributed', false),
	('an engineer of distributed systems', 'engineer -"systems distributed"', true),
	('an engineer of distributed systems', '-cook', true),
	('an engineer of distributed systems', '-engineer', false),
	('an engineer of distributed systems', '"engineer of distributed', true),
	('We build CI/CD pipelines', 'ci/cd', true),
	('We build CI/CD pipelines', 'cd/ci', false),
	('We build CI/CD pipelines', '-CI/CD', false),
	('write to john.doe@acme.com', 'acme.com', true),
	('write to john.doe@acme.com', 'john.doe@acme.com', true),
	('write to john.doe@acme.com', 'jane.doe@acme.com', false),
	('state-of-the-art tools', 'state-of-the-art', true),
	('snake_case', 'SNAKE_CASE', true),
	('Ein Übergrößenträger', 'übergrößenträger', true),
	('ein übergrößenträger', 'ÜBERGRÖßENTRÄGER', true),
	('Wir PRÜFEN', 'prüfen', true),
	('wir prüfen', 'PRÜFEN', true),
	('mon résumé', 'RÉSUMÉ', true),
	('une ŒUVRE', 'œuvre', true),
	('une œuvre', 'Œuvre', true),
	('Ωmega', 'ωMEGA', true),
	(E'cafe\u0301 noir', E'cafe\u0301', true),
	('開発者 募集', '開発者', true)
) AS t (text, query, found);

-- What is shown

SELECT is(jobforge.search_snippet(t.text, jobforge.search_query(t.query)), t.snippet,
	format('"%s" shown in "%s"', t.query, left(t.text, 40)))
FROM (VALUES
	('One word', 'word', 'One <mark>word</mark>'),
	('One word, two words', 'words', 'One <mark>word</mark>, two <mark>words</mark>'),
	('ours: <script>alert("1")</script> & it''s', 'alert',
		'ours: &lt;script&gt;<mark>alert</mark>(&quot;1&quot;)&lt;/script&gt; &amp; it&#39;s'),
	('ours: <mark>no</mark> &lt; &amp;', 'no ours', 'ours: &lt;mark&gt;no&lt;/mark&gt; &amp;lt; &amp;amp;'),
	('a CI/CD, snake_case, ~user, me@acme.com <!-- x', 'ci snake',
		'a <mark>CI</mark>/CD, <mark>snake</mark>_case, ~user, me@acme.com &lt;!-- x'),
	(E'controls \x01\x02\x05\x06word\x07\x08 end', 'end', 'controls word <mark>end</mark>'),
	(E'lines\n\n- of\ta list', 'list', 'lines - of a <mark>list</mark>'),
	('He was dying under these skies', 'die', 'He was <mark>dying</mark> under these skies'),
	('He was dying under these skies', 'sky', 'He was dying under these <mark>skies</mark>'),
	('Größe zählt', 'GRÖßE', '<mark>Größe</mark> zählt'),
	('It''s C++ \ not C', 'c', 'It&#39;s <mark>C</mark>++ \ not <mark>C</mark>'),
	('nothing of that', 'word', 'nothing of that'),
	('nothing of that', '', 'nothing of that'),
	('nothing of that', '-word', 'nothing of that'),
	('', 'word', ''),
	(NULL, 'word', NULL),
	('nothing asked', NULL, 'nothing asked'),
	(repeat('word ', 100), 'none', rtrim(repeat('word ', 48)) || ' …')
) AS t (text, query, snippet);

-- Late in long texts, and across the seams of the pieces in which they are read

SELECT matches(shown_at(p.place, 520000, q.query), q.shown, format('%s at %s', q.query, p.place))
FROM (VALUES (0), (4080), (4090), (4096), (11980), (12000), (250000), (519000)) AS p (place),
	(VALUES ('needle', '<mark>needle</mark>'), ('"hidden needle"', '<mark>hidden</mark> <mark>needle</mark>'))
		AS q (query, shown);
SELECT matches(shown_at(299988, 520000, 'filling straw'),
	'<mark>filling</mark>.* hidden needle here more <mark>straw</mark>', 'two words where they meet');
SELECT matches(shown_at(299988, 520000, '"straw needle" or "filling the hidden"'),
	'<mark>filling</mark> the <mark>hidden</mark>', 'a phrase of which every piece has a word');
SELECT matches(jobforge.search_snippet('apples ' || repeat('filling ', 30000) || 'pears',
	jobforge.search_query('pears apples')), '^<mark>apples</mark>', 'words far apart: the first');
SELECT matches(jobforge.search_snippet(repeat('x', 20000) || ' needle ' || repeat('y', 20000),
	jobforge.search_query('needle')), '<mark>needle</mark>', 'between words without end');
SELECT cmp_ok(length(jobforge.search_snippet(repeat('!', 2000) || ' needle ' || repeat('?"', 2000),
	jobforge.search_query('needle'))), '<', 8000, 'a snippet is short whatever stands around the match');

-- Whatever the text: stored, found and shown, and soon. Of some of these PostgreSQL's parser makes words again and
-- again: without what search_text() does against it they take from minutes to days.

RESET SESSION AUTHORIZATION;
CREATE TABLE pgtap.texts (name text, content text, search tsvector);
INSERT INTO pgtap.texts (name, content)
SELECT t.name, 'needle ' || left(repeat(t.part, 524288 / octet_length(t.part) + 1),
	524272 * length(t.part) / octet_length(t.part)) || ' pin'
FROM (VALUES ('words', 'word '), ('one word', 'x'), ('underscores', 'a_'), ('comments', '<!--'), ('tags', '<a '),
	('entities', '&amp;'), ('schemes', 'a://'), ('paths', './a'), ('homes', '~/'), ('addresses', '1a@'),
	('more addresses', 'a.b@c-'), ('numbers', '1.'), ('more numbers', '11.5e1.'), ('signed numbers', '-1a-1-1a'),
	('exponents', '1.5ee-e-'), ('hyphens', 'a-1'), ('minus', '-'), ('exclamation marks', '!'), ('quotes', '"'),
	('queries', 'a.b?c=d&'), ('controls', E'\x05'), ('spaces', '          '), ('combining marks', E'a\u0301'),
	('right to left', E'\u05d0\u202e '), ('emoji', '😀'), ('ideographs', '開発者')) AS t (name, part);
GRANT SELECT, UPDATE ON pgtap.texts TO jobforge_app;
SET SESSION AUTHORIZATION jobforge_app;
SET LOCAL statement_timeout = '60s'; -- for all of them; some seconds where nothing else goes on
UPDATE pgtap.texts SET search = jobforge.search_vector(content);
SELECT is(t.search @@ jobforge.search_query('needle'), true, t.name || ': found') FROM texts AS t;
SELECT matches(jobforge.search_snippet(t.content, jobforge.search_query(w.word)), '<mark>' || w.word || '</mark>',
	format('%s: %s shown', t.name, w.word)) FROM texts AS t, (VALUES ('needle'), ('pin')) AS w (word);
RESET statement_timeout;

-- Whatever the question: no error, and nothing but marks and escaped text

RESET SESSION AUTHORIZATION;
CREATE TABLE pgtap.questions AS
SELECT q.question FROM (VALUES ('"'), ('""'), ('"""'), ('"a'), ('a"'), ('-'), ('--'), (repeat('-', 200)), ('- -'),
	('-"'), ('-"a b'), ('or'), ('or or'), ('OR a'), ('a or'), (repeat('or ', 66)), (repeat('a or ', 40)), ('-or'),
	('!&|():*<->'), ('a & b | !c'), ('a:*'), ('a:A'), ('a <-> b'), ('a <2> b'), ('(('), ('))'), ('\'), ('\\\'), ('a\'),
	(''''), (''''''), ('a''b'), ('it''s'), ('%'), ('_'), ('<b>'), ('&lt;'), ('/'), ('~'), ('@'), ('😀'), ('"😀"'),
	(E'a\u0301'), (E'\u0301'), (E'\u202eabc'), (E'\ufffd'), (E'\t\n\r'), (E'\x01\x02\x03'), (E'\x06a\x07'), (E'\x08'),
	(repeat('x', 200)), (repeat('x', 100000)), (repeat('a ', 100000)), (repeat('開', 3000)), ('1e400'), ('-1'), ('1.5e-'),
	('http://a.b/c?d=e#f'), ('a@b.c'), ('the'), ('"the a of"'), ('-the'), (''), (' '), (E'\u00a0'), (E'\u3000'))
	AS q (question)
UNION ALL
SELECT string_agg((ARRAY['"', '-', ' or ', ' ', 'a', 'the', 'needle', '''', '\', '&', '|', '!', '(', ')', ':*', '<->',
	'<', E'\x01', E'\x06', '_', '/', '@', 'é', '1', '.', '1e', '😀', E'\u0301', '%', '*'])[1 + random() * 29], '')
FROM generate_series(1, 300) AS i, generate_series(1, 1 + i % 40) AS part GROUP BY i;
GRANT SELECT ON pgtap.questions TO jobforge_app;
SET SESSION AUTHORIZATION jobforge_app;
SET LOCAL statement_timeout = '60s';
SELECT lives_ok($$
	SELECT jobforge.search_vector('some text') @@ jobforge.search_query(q.question),
		ts_rank(jobforge.search_vector('some text'), jobforge.search_any(jobforge.search_query(q.question)))
	FROM pgtap.questions AS q
$$, 'no question is an error');
SELECT is_empty($$
	SELECT q.question, s.snippet FROM pgtap.questions AS q
	CROSS JOIN (VALUES ('the needle & <b>"it''s"</b> a_b/c ~ 1e400 😀 a@b.c ' || E'\x01\x06\x08'), ('a b c'),
		('!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~')) AS t (text)
	CROSS JOIN LATERAL jobforge.search_snippet(t.text, jobforge.search_query(q.question)) AS s (snippet)
	WHERE regexp_replace(s.snippet, '<mark>[^<]*</mark>', '', 'g') ~ '[<>"''\x01-\x08]|&(?!(amp|lt|gt|quot|#39);)'
$$, 'and every snippet is marks and escaped text');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
