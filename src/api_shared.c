#include "api_shared.h"

#include "buffer.h"
#include "call.h"
#include "markdown.h"
#include "response.h"

const char *const priority_levels[] = { "low", "medium", "high", NULL };
const char *const application_statuses[] = { "draft", "research_complete", "resume_ready", "cover_letter_ready", NULL };
const char *const document_types[] = { "research_report", "optimized_resume", "cover_letter", NULL };
const char *const focus_areas[] = { "software_development", "data_science", "management", "consulting", "other", NULL };

const struct field document_path_fields[] = {
	{ .name = "id", .type = FIELD_UUID, .about = "The application." },
	{ .name = "document_type", .type = FIELD_ENUM, .choices = document_types, .about = "Which of its documents." },
	{ 0 },
};

const struct field document_fields[] = {
	DOCUMENT_BEGIN,
	{ .name = "content", .type = FIELD_TEXT, .about = "Its Markdown.", .example = "# Acme\n\nFounded in 1999." },
	DOCUMENT_END,
	{ 0 },
};

const struct field document_short_fields[] = { DOCUMENT_SHORT_FIELDS, { 0 } };

const struct field application_brief_fields[] = {
	{ .name = "id", .type = FIELD_UUID, .about = "The application." },
	{ .name = "company_name", .type = FIELD_TEXT, .about = "Its company.", .example = "Acme" },
	{ .name = "role_title", .type = FIELD_TEXT, .about = "Its role.", .example = "Engineer" },
	{ 0 },
};

static bool
write_markdown(struct call *call, const struct db_result *result)
{
	struct slice content = db_get(result, 0, "content");

	buffer_append(&call->response->body, content.data, content.len);
	return true;
}

static bool
write_html(struct call *call, const struct db_result *result)
{
	return markdown_to_html(&call->response->body, db_get(result, 0, "content"));
}

const struct representation markdown_forms[] = {
	{ "text/markdown", "md", write_markdown },
	{ "text/html", "html", write_html },
	{ 0 },
};
