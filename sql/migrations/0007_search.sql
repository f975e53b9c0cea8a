-- Search as people know it from the web, ranked, with the places shown.
--
-- Mended of the requirement: its search knew no quotes, no "or" and no "-", had no order and showed nothing of what it
-- found.
SET LOCAL ROLE jobforge_owner;

-- What full-text search reads. '<' begins what the parser takes for a tag, however far it goes; '_', '/', '~' and '@'
-- join words ("CI/CD" would be one word and not be found by "CI"). Each becomes a control character, which is a blank
-- to the parser and can be turned back where a text is shown; those that the text itself holds become spaces.
-- Of words joined by other characters the parser tries again and again to make one: half a mebibyte of "a-1" took
-- minutes, of "1a@" days. So a \x08 follows every sixteenth punctuation mark that no blank comes between.
CREATE OR REPLACE FUNCTION jobforge.search_text(p_text text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN regexp_replace(
	replace(replace(replace(replace(replace(regexp_replace(p_text, '[\x01-\x08]', ' ', 'g'),
		'<', E'\x01'), '_', E'\x02'), '/', E'\x03'), '~', E'\x04'), '@', E'\x05'),
	'(?:[!-/:-@[-`{-~][^\s\x01-\x05!-/:-@[-`{-~]*){16}', E'\\&\x08', 'g');

-- As before, but the length is that of what is read.
CREATE OR REPLACE FUNCTION jobforge.search_vector(p_text text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_text CONSTANT text := jobforge.search_text(p_text);
	v_length integer := length(v_text);
BEGIN
	IF octet_length(v_text) <= 131072 THEN -- a word takes less than eight times its bytes
		RETURN to_tsvector('pg_catalog.english', v_text);
	END IF;
	LOOP
		BEGIN
			RETURN to_tsvector('pg_catalog.english', left(v_text, v_length));
		EXCEPTION WHEN program_limit_exceeded THEN
			v_length := v_length / 2;
		END;
	END LOOP;
END
$$;

-- The question to match such a vector with: words of which all must occur, "phrases", alternatives joined by or, and
-- what must not occur after a minus. Never an error: a question is short, and of a longer one the beginning counts.
CREATE OR REPLACE FUNCTION jobforge.search_query(p_text text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN websearch_to_tsquery('pg_catalog.english', jobforge.search_text(left(p_text, 500)));

-- The words of a question, without those that must not occur.
CREATE FUNCTION jobforge.search_words(p_query tsquery) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ARRAY(SELECT DISTINCT replace(replace(m.word[1], '''''', ''''), '\\', '\')
	FROM regexp_matches(querytree(p_query), '''((?:[^''\\]|''''|\\\\)+)''', 'g') AS m (word));

-- The question which any of these words answers.
CREATE FUNCTION jobforge.search_any(p_query tsquery) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (
	SELECT coalesce(string_agg('''' || replace(replace(w.word, '\', '\\'), '''', '''''') || '''', ' | '), '')::tsquery
	FROM unnest(jobforge.search_words(p_query)) AS w (word));

-- What ts_headline() made of such text, as HTML: \x06 and \x07 around matches become <mark>, what search_text() did is
-- undone, all else is escaped. Of one that is long because its words are, a thousand characters around the first match.
CREATE FUNCTION jobforge.search_marked(p_headline text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_text text := regexp_replace(p_headline, '\s+', ' ', 'g');
BEGIN
	IF length(v_text) > 1000 THEN
		v_text := substr(v_text, greatest(1, strpos(v_text, E'\x06') - 200), 1000);
		IF length(replace(v_text, E'\x06', '')) < length(replace(v_text, E'\x07', '')) THEN
			v_text := v_text || E'\x07'; -- cut within a match
		END IF;
	END IF;
	v_text := translate(v_text, E'\x01\x02\x03\x04\x05\x08', '<_/~@');
	v_text := replace(replace(replace(v_text, '&', '&amp;'), '<', '&lt;'), '>', '&gt;');
	v_text := replace(replace(v_text, '"', '&quot;'), '''', '&#39;');
	RETURN btrim(replace(replace(v_text, E'\x06', '<mark>'), E'\x07', '</mark>'));
END
$$;

-- Where a text answers a question, as HTML: one or two passages of up to thirty words, matches in <mark>, all else
-- escaped. Its beginning where nothing of it does.
--
-- Half a mebibyte is not parsed for that, but one piece of it after another, and of those only the ones in which a
-- cheap look finds how a word of the question begins. Words too far apart for a passage are shown where the first is.
CREATE FUNCTION jobforge.search_snippet(p_text text, p_query tsquery) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	v_options CONSTANT text :=
		E'StartSel="\x06", StopSel="\x07", MaxFragments=2, MinWords=8, MaxWords=30, ShortWord=0, FragmentDelimiter=" … "';
	v_size integer := 4096;
	v_overlap CONSTANT integer := 300; -- a passage stands in one of two pieces
	v_any CONSTANT tsquery := jobforge.search_any(p_query);
	-- Stemming changes the last letters of a word.
	v_begins text := (SELECT '(?:^|[^[:alnum:]])(?:'
			|| string_agg(regexp_replace(left(w.word, greatest(3, length(w.word) - 2)), '(\W)', '\\\1', 'g'), '|') || ')'
		FROM unnest(jobforge.search_words(p_query)) AS w (word));
	v_text CONSTANT text := p_text || ''; -- read from where it is stored once
	v_length CONSTANT integer := length(v_text);
	v_from integer := 1;
	v_piece text;
	v_found text;
	v_part text;
BEGIN
	WHILE v_begins IS NOT NULL LOOP
		v_piece := substr(v_text, v_from, v_size);
		IF v_piece ~* v_begins THEN
			IF v_from > 1 THEN -- not from the middle of a word
				v_piece := regexp_replace(v_piece, '^\S{0,100}\s', '');
			END IF;
			IF v_from + v_size <= v_length THEN -- nor up to it
				v_piece := left(v_piece, -100) || regexp_replace(right(v_piece, 100), '\s\S*$', '');
			END IF;
			v_piece := jobforge.search_text(v_piece);
			IF p_query = v_any OR to_tsvector('pg_catalog.english', v_piece) @@ p_query THEN
				v_found := ts_headline('pg_catalog.english', v_piece, p_query, v_options);
				IF strpos(v_found, E'\x06') > 0 THEN
					RETURN jobforge.search_marked(v_found);
				END IF;
			END IF;
			IF v_part IS NULL THEN
				v_found := ts_headline('pg_catalog.english', v_piece, v_any, v_options);
				v_part := CASE WHEN strpos(v_found, E'\x06') > 0 THEN v_found END;
			END IF;
		END IF;
		IF v_from + v_size <= v_length THEN
			v_from := v_from + v_size - v_overlap;
			v_size := least(2 * v_size, 16384); -- finding a piece costs something too
		ELSIF v_part IS NULL AND v_begins <> '' THEN
			v_begins := ''; -- a word that does not begin like its stem (dying, die): all pieces
			v_from := 1;
			v_size := 4096;
		ELSE
			EXIT;
		END IF;
	END LOOP;
	v_piece := left(v_text, 240);
	IF v_length > 240 THEN
		v_piece := regexp_replace(v_piece, '\s+\S*$', '') || ' …';
	END IF;
	RETURN jobforge.search_marked(coalesce(v_part, jobforge.search_text(v_piece)));
END
$$;

GRANT EXECUTE ON FUNCTION jobforge.search_words(tsquery), jobforge.search_any(tsquery), jobforge.search_marked(text),
	jobforge.search_snippet(text, tsquery) TO jobforge_app;

-- The vectors of texts that are read otherwise now, as the administrator, since the owner is held by the policies. Of
-- such a row nothing but its version changes.
SET LOCAL ROLE NONE;
UPDATE public.applications AS a SET job_description = a.job_description
WHERE a.search IS DISTINCT FROM jobforge.search_vector(a.job_description);
UPDATE public.documents AS d SET content = d.content
WHERE d.search IS DISTINCT FROM jobforge.search_vector(d.content);
UPDATE public.user_resumes AS r SET content = r.content
WHERE r.search IS DISTINCT FROM jobforge.search_vector(r.content);
