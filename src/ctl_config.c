/* config, key rotate and migrate: what an installation needs before it runs. */
#include <stdio.h>

#include "buffer.h"
#include "ctl.h"
#include "keyfile.h"
#include "migrate.h"
#include "writer.h"

enum { CONFIG_EXAMPLE };
enum { MIGRATE_DRY_RUN, MIGRATE_DIRECTORY };

static int run_config(struct ctl *);
static int run_key_rotate(struct ctl *);
static int run_migrate(struct ctl *);

const struct ctl_command ctl_config = {
	.name = "config",
	.summary = "Print the configuration in effect, each key with its default.",
	.own_configuration = true,
	.options = {
		[CONFIG_EXAMPLE] = { "--example", NULL, "Print a configuration file of defaults, all commented out." },
	},
	.run = run_config,
};

const struct ctl_command ctl_key_rotate = {
	.name = "key rotate",
	.summary = "Make a new key for access tokens; the previous one still verifies, older ones are dropped.",
	.run = run_key_rotate,
};

const struct ctl_command ctl_migrate = {
	.name = "migrate",
	.summary = "Bring the database to the schema of this JobForge.",
	.options = {
		[MIGRATE_DRY_RUN] = { "--dry-run", NULL, "Print what is pending and change nothing." },
		[MIGRATE_DIRECTORY] = { "--directory", "DIR", "Take the migrations from DIR." },
	},
	.run = run_migrate,
};

static int
run_config(struct ctl *ctl)
{
	bool example = ctl_given(ctl, CONFIG_EXAMPLE);
	if (example && ctl->json)
		return ctl_misuse("config --example has no JSON form");
	if (!example && ctl_load(ctl) != CTL_OK)
		return CTL_FAILED;
	if (ctl->json)
		conf_print_json(&ctl->conf);
	else
		conf_print(example ? NULL : &ctl->conf);
	return CTL_OK;
}

static void
print_key_change(const char *path, const struct keyfile_change *change)
{
	struct buffer out = { 0 };
	buffer_printf(&out, "Key %s in %s signs from now on", change->signing, path);
	if (change->previous[0] != '\0')
		buffer_printf(&out, "; key %s still verifies, and older ones are dropped", change->previous);
	buffer_puts(&out, ".\n");
	buffer_puts(&out, "A running jobforged reads the file on SIGHUP (systemctl reload jobforged).\n");
	ctl_print(&out);
}

static int
run_key_rotate(struct ctl *ctl)
{
	const char *path = ctl->conf.token_keys;
	struct keyfile_change change = { 0 };
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	char error[CTL_ERROR_SIZE];
	if (keyfile_rotate(path, ctl->conf.user, &change, error, sizeof(error)) != 0)
		return ctl_fail("%s", error);
	if (!ctl->json) {
		print_key_change(path, &change);
		return CTL_OK;
	}
	writer_object(&writer, NULL);
	writer_string(&writer, "file", path);
	writer_string(&writer, "signing", change.signing);
	if (change.previous[0] == '\0')
		writer_null(&writer, "previous");
	else
		writer_string(&writer, "previous", change.previous);
	ctl_print_json(&writer);
	return CTL_OK;
}

static int
run_migrate(struct ctl *ctl)
{
	const char *directory = ctl->values[MIGRATE_DIRECTORY];
	const struct migrate_request request = {
		.conninfo = ctl->conf.admin_database,
		.directory = directory == NULL ? ctl_default_migrations : directory,
		.dry_run = ctl_given(ctl, MIGRATE_DRY_RUN),
		.json = ctl->json,
	};
	char error[CTL_ERROR_SIZE];
	return migrate_run(&request, error, sizeof(error)) == 0 ? CTL_OK : ctl_fail("%s", error);
}
