/* The schema that this program was built for: the highest number under sql/migrations. A test compares the two. */
#ifndef JOBFORGE_SCHEMA_H
#define JOBFORGE_SCHEMA_H

#define SCHEMA_VERSION 14
#define SCHEMA_TEXT_OF(number) #number
#define SCHEMA_TEXT(number) SCHEMA_TEXT_OF(number)
#define SCHEMA_VERSION_TEXT SCHEMA_TEXT(SCHEMA_VERSION)

#endif
