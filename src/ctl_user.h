/* The user whom a command is about, for the commands of users and plans. */
#ifndef JOBFORGE_CTL_USER_H
#define JOBFORGE_CTL_USER_H

#include "base.h"
#include "encode.h"

struct ctl;
struct db_tool;

struct ctl_user {
	struct db_tool *tool;
	char id[UUID_TEXT + 1];
	char email[256];
};

/* Connects as an administrator and finds the user that the first word names by email or id. 0, or CTL_FAILED after a complaint; in
 * any case the caller closes user->tool. */
int ctl_user_open(struct ctl *ctl, struct ctl_user *user) MUST_CHECK;

#endif
