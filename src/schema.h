/* The schema that this program was built for: the highest number under sql/migrations. A test compares the two. */
#ifndef JOBFORGE_SCHEMA_H
#define JOBFORGE_SCHEMA_H

enum { SCHEMA_VERSION = 5 };

#endif
