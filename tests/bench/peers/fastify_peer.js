// The applications API as a Fastify service over pg: JSON schemas, prepared statements, a transaction a request, one process
// a core. Settings come from BENCH_* variables.
"use strict";

const cluster = require("node:cluster");
const crypto = require("node:crypto");
const { createRequire } = require("node:module");

const modules = createRequire(process.env.BENCH_NODE_MODULES); // installed outside of the source tree
const bcrypt = modules("bcrypt");
const fastify = modules("fastify");
const { Pool } = modules("pg");

const settings = (name) => process.env["BENCH_" + name];

const LISTED = "id, user_id, name, company_name, role_title, job_url, location, priority_level, status, research_completed,"
	+ " resume_optimized, cover_letter_generated, created_at, updated_at";
const WHOLE = LISTED + ", job_description";
const DOCUMENT = "id, application_id, document_type, content, created_at, updated_at";

// name: SQL; each is prepared once a connection.
function statements() {
	return {
		one: `SELECT ${WHOLE} FROM public.applications WHERE id = $1`,
		list: `SELECT ${LISTED} FROM public.applications ORDER BY created_at DESC, id DESC LIMIT $1`,
		create: "INSERT INTO public.applications (company_name, role_title, job_description, name, job_url, location,"
			+ ` priority_level) VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING ${WHOLE}`,
		update: "UPDATE public.applications SET company_name = coalesce($2, company_name),"
			+ " role_title = coalesce($3, role_title), job_description = coalesce($4, job_description),"
			+ " name = coalesce($5, name), job_url = coalesce($6, job_url), location = coalesce($7, location),"
			+ ` priority_level = coalesce($8, priority_level) WHERE id = $1 RETURNING ${WHOLE}`,
		lock: "SELECT 1 FROM public.applications WHERE id = $1 FOR NO KEY UPDATE",
		change_document: "UPDATE public.documents SET content = $3 WHERE application_id = $1 AND document_type = $2"
			+ ` RETURNING ${DOCUMENT}`,
		create_document: "INSERT INTO public.documents (application_id, document_type, content) VALUES ($1, $2, $3)"
			+ ` RETURNING ${DOCUMENT}`,
		login_begin: "SELECT user_id, password_hash, retry_after FROM jobforge.login_begin($1, 10, 900)",
		session_open: "SELECT id, email, full_name, created_at, updated_at"
			+ " FROM jobforge.session_open($1, $2, NULL, $3, 2592000)",
		login_succeeded: "SELECT jobforge.login_succeeded($1)",
		set_user: "SELECT set_config('app.current_user_id', $1, true)",
		...JSON.parse(settings("STATEMENTS")),
	};
}

// ---- schemas: of bodies they check, of answers they say how to write them ----

const text = (min, max) => ({ type: "string", minLength: min, maxLength: max });
const perhaps = { type: "string", nullable: true };
const flag = { type: "boolean" };
const string = { type: "string" };
const object = (properties, required) => ({ type: "object", properties, required });

const listed = { id: string, user_id: string, name: string, company_name: string, role_title: string, job_url: perhaps,
	location: perhaps, priority_level: string, status: string, research_completed: flag, resume_optimized: flag,
	cover_letter_generated: flag, created_at: string, updated_at: string };
const whole = object({ ...listed, job_description: string });
const page = object({ data: { type: "array", items: object({ ...listed, rank: { type: "number" }, snippet: string }) } });
const document = object({ id: string, application_id: string, document_type: string, content: string, created_at: string,
	updated_at: string });
const fields = { company_name: text(1, 255), role_title: text(1, 255), job_description: text(50, 100000), name: text(1, 255),
	job_url: text(1, 2048), location: text(1, 255), priority_level: { enum: ["low", "medium", "high"] } };
const names = Object.keys(fields);

function serve() {
	const sql = statements();
	const pool = new Pool({ host: settings("SOCKETS"), database: settings("DATABASE"), user: settings("DB_USER"),
		max: Number(settings("POOL")) });
	const app = fastify({ logger: false });
	app.register(modules("@fastify/jwt"), { secret: settings("JWT_KEY"),
		verify: { algorithms: ["HS256"], allowedIss: settings("ISSUER"), allowedAud: settings("AUDIENCE") } });
	const signedIn = { onRequest: (request) => request.jwtVerify() };

	const query = (client, name, values) => client.query({ name, text: sql[name], values });

	async function transaction(user, work) {
		const client = await pool.connect();
		try {
			await client.query("BEGIN");
			if (user !== null)
				await query(client, "set_user", [user]);
			const answer = await work(client);
			await client.query("COMMIT");
			return answer;
		} catch (error) {
			await client.query("ROLLBACK");
			throw error;
		} finally {
			client.release();
		}
	}

	// The rows of one statement in a transaction of the request's user.
	async function rows(request, name, values) {
		return (await transaction(request.user.sub, (client) => query(client, name, values))).rows;
	}

	function found(row) {
		if (row === undefined)
			throw Object.assign(new Error("not found"), { statusCode: 404 });
		return row;
	}

	app.get("/api/v1/applications/:id", { ...signedIn, schema: { response: { 200: whole } } },
		async (request) => found((await rows(request, "one", [request.params.id]))[0]));

	app.get("/api/v1/applications", { ...signedIn, schema: { response: { 200: page } } }, async (request) => {
		const { q, limit = 20 } = request.query;
		if (q === undefined)
			return { data: await rows(request, "list", [limit]) };
		return { data: await rows(request, "search", [null, null, null, null, null, q, String(limit), "0"]) };
	});

	app.post("/api/v1/applications", { ...signedIn,
		schema: { body: object(fields, ["company_name", "role_title", "job_description", "name"]), response: { 201: whole } } },
		async (request, reply) => {
			reply.code(201);
			return (await rows(request, "create", names.map((name) => request.body[name])))[0];
		});

	app.patch("/api/v1/applications/:id", { ...signedIn, schema: { body: object(fields), response: { 200: whole } } },
		async (request) => found((await rows(request, "update",
			[request.params.id, ...names.map((name) => request.body[name])]))[0]));

	app.put("/api/v1/applications/:id/documents/:type", { ...signedIn,
		schema: { body: object({ content: text(10, 524288) }, ["content"]), response: { 200: document } } },
		async (request) => transaction(request.user.sub, async (client) => {
			const values = [request.params.id, request.params.type, request.body.content];
			found((await query(client, "lock", [request.params.id])).rows[0]);
			const changed = await query(client, "change_document", values);
			return changed.rows[0] ?? (await query(client, "create_document", values)).rows[0];
		}));

	app.post("/api/v1/documents/similar", { ...signedIn, schema: { body: object({ document_id: string }, ["document_id"]) } },
		async (request) => ({ data: await rows(request, "similar",
			[null, request.body.document_id, null, String(request.body.limit ?? 10)]) }));

	app.post("/api/v1/auth/login", { schema: { body: object({ email: string, password: string }, ["email", "password"]) } },
		async (request, reply) => {
			const { email, password } = request.body;
			const attempt = (await transaction(null, (client) => query(client, "login_begin", [email]))).rows[0];
			if (attempt.password_hash === null || !await bcrypt.compare(password, attempt.password_hash))
				return reply.code(401).send();
			const token = crypto.randomBytes(32).toString("base64url");
			const hash = crypto.createHash("sha256").update(token).digest();
			const user = await transaction(null, async (client) => {
				const opened = await query(client, "session_open", [attempt.user_id, attempt.password_hash, hash]);
				await query(client, "login_succeeded", [email]);
				return opened.rows[0];
			});
			const access = app.jwt.sign({ sub: user.id, iss: settings("ISSUER"), aud: settings("AUDIENCE") },
				{ expiresIn: 900 });
			return { user, access_token: access, token_type: "Bearer", expires_in: 900, refresh_token: token };
		});

	app.listen({ host: "127.0.0.1", port: Number(settings("PORT")) });
}

if (cluster.isPrimary) {
	for (let i = 0; i < Number(settings("PROCESSES")); i++)
		cluster.fork();
	cluster.on("exit", () => process.exit(1));
	process.on("SIGTERM", () => process.exit(0));
} else {
	serve();
}
