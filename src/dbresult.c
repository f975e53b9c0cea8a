#include <libpq-fe.h>

#include "db.h"

/* The type ids of pg_type.dat that are not written as JSON strings; they are fixed for ever. */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_JSON = 114, OID_FLOAT4 = 700, OID_FLOAT8 = 701,
       OID_TIMESTAMPTZ = 1184, OID_JSONB = 3802 };

static const PGresult *
result_of(const struct db_result *result)
{
	return (const PGresult *)result;
}

int
db_rows(const struct db_result *result)
{
	return PQntuples(result_of(result));
}

int
db_columns(const struct db_result *result)
{
	return PQnfields(result_of(result));
}

const char *
db_name(const struct db_result *result, int column)
{
	return PQfname(result_of(result), column);
}

enum db_type
db_type(const struct db_result *result, int column)
{
	switch (PQftype(result_of(result), column)) {
	case OID_BOOL:
		return DB_TYPE_BOOL;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_FLOAT4:
	case OID_FLOAT8:
		return DB_TYPE_NUMBER;
	case OID_TIMESTAMPTZ:
		return DB_TYPE_TIME;
	case OID_JSON:
	case OID_JSONB:
		return DB_TYPE_JSON;
	default:
		return DB_TYPE_TEXT;
	}
}

int
db_column(const struct db_result *result, const char *name)
{
	return PQfnumber(result_of(result), name);
}

struct slice
db_value(const struct db_result *result, int row, int column)
{
	const PGresult *rows = result_of(result);

	if (PQgetisnull(rows, row, column))
		return (struct slice){ NULL, 0 };
	return (struct slice){ PQgetvalue(rows, row, column), (size_t)PQgetlength(rows, row, column) };
}

struct slice
db_get(const struct db_result *result, int row, const char *name)
{
	int column = db_column(result, name);

	return column < 0 ? (struct slice){ NULL, 0 } : db_value(result, row, column);
}
