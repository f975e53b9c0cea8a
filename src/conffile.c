#include "conffile.h"
#include "utf8.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_key_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static struct slice
skip_blanks(struct slice text)
{
	while (text.len > 0 && is_blank(text.data[0])) {
		text.data++;
		text.len--;
	}
	return text;
}

static struct slice
drop_blanks_at_end(struct slice text)
{
	while (text.len > 0 && is_blank(text.data[text.len - 1]))
		text.len--;
	return text;
}

static int
fail(struct conffile *file, const char *problem)
{
	file->problem = problem;
	return -1;
}

/* Cuts the next line off the text, without its line feed and a carriage return before that. */
static struct slice
take_line(struct conffile *file)
{
	char *end = memchr(file->at, '\n', file->left);
	struct slice line = { file->at, end == NULL ? file->left : (size_t)(end - file->at) };
	size_t taken = line.len + (end != NULL);
	file->at += taken;
	file->left -= taken;
	file->line++;
	if (line.len > 0 && line.data[line.len - 1] == '\r')
		line.len--;
	return line;
}

bool
conffile_text_valid(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if ((c < 0x20 && c != '\t') || c == 0x7F)
			return false;
	}
	return utf8_valid(text.data, text.len);
}

/* A value without quotes ends at the line's end or at a comment, which a blank sets off: "pass#word" holds none. */
static struct slice
plain_value(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '#' && (i == 0 || is_blank(text.data[i - 1]))) {
			text.len = i;
			break;
		}
	}
	return drop_blanks_at_end(text);
}

/* Takes the escapes out in place; `text` begins after the opening quote. */
static int
quoted_value(struct conffile *file, struct slice text)
{
	char *out = (char *)(uintptr_t)text.data; /* the file's own text, which it lets be written to */
	size_t len = 0, at = 0;
	while (at < text.len && text.data[at] != '"') {
		if (text.data[at] == '\\') {
			at++;
			if (at == text.len || (text.data[at] != '"' && text.data[at] != '\\'))
				return fail(file, "in quotes a backslash stands before '\"' or another backslash only");
		}
		out[len++] = text.data[at++];
	}
	if (at == text.len)
		return fail(file, "the closing quote is missing");
	struct slice rest = skip_blanks((struct slice){ text.data + at + 1, text.len - at - 1 });
	if (rest.len > 0 && rest.data[0] != '#')
		return fail(file, "there is text after the closing quote");
	file->value = (struct slice){ out, len };
	return 1;
}

static int
take_entry(struct conffile *file, struct slice line)
{
	size_t len = 0;
	while (len < line.len && is_key_character(line.data[len]))
		len++;
	file->key = (struct slice){ line.data, len };
	struct slice rest = skip_blanks((struct slice){ line.data + len, line.len - len });
	if (len == 0 || rest.len == 0 || rest.data[0] != '=')
		return fail(file, "a line is \"key = value\", a comment that starts with '#', or empty");

	rest = skip_blanks((struct slice){ rest.data + 1, rest.len - 1 });
	if (rest.len > 0 && rest.data[0] == '"')
		return quoted_value(file, (struct slice){ rest.data + 1, rest.len - 1 });
	file->value = plain_value(rest);
	return 1;
}

int
conffile_next(struct conffile *file)
{
	while (file->left > 0) {
		struct slice line = take_line(file);
		if (!conffile_text_valid(line))
			return fail(file, "the line holds a control character, or is not UTF-8");
		line = skip_blanks(line);
		if (line.len > 0 && line.data[0] != '#')
			return take_entry(file, line);
	}
	return 0;
}
