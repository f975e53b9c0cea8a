// Signs in and lists the user's applications. The access token lives in this module alone; the refresh token is a cookie
// that scripts cannot read.

const API = "/api/v1";
const PAGE = 50;
const SIGNED_IN = "jobforge-signed-in"; // whether asking for a new access token is worth the try
const STATUS = {
	draft: "Draft",
	research_complete: "Research done",
	resume_ready: "Résumé ready",
	cover_letter_ready: "Letter ready",
};

let accessToken = null;
let next = null;

const element = (id) => document.getElementById(id);

/** What to tell the user about an answer that is not the one hoped for. */
class Problem extends Error {
	constructor(status, details) {
		super(details?.detail || details?.title || `The server answered ${status}.`);
		this.status = status;
	}
}

async function send(method, path, body) {
	const headers = { Accept: "application/json", "X-Requested-With": "fetch" };
	if (accessToken !== null) headers.Authorization = `Bearer ${accessToken}`;
	if (body !== undefined) headers["Content-Type"] = "application/json";
	let answer;
	try {
		answer = await fetch(API + path, { method, headers, body: body && JSON.stringify(body) });
	} catch {
		throw new Error("The server cannot be reached.");
	}
	const content = await answer.json().catch(() => null);
	if (!answer.ok) throw new Problem(answer.status, content);
	return content;
}

/** Like send(), with a new access token when the old one has run out. */
async function sendSignedIn(method, path, body) {
	try {
		return await send(method, path, body);
	} catch (error) {
		if (error.status !== 401) throw error;
	}
	await refresh();
	return send(method, path, body);
}

async function refresh() {
	accessToken = null;
	accessToken = (await send("POST", "/auth/refresh", {})).access_token;
}

function show(section) {
	for (const id of ["welcome", "applications"]) element(id).hidden = id !== section;
	element("account").hidden = section !== "applications";
}

function say(id, text) {
	element(id).textContent = text;
	element(id).hidden = text === "";
}

function row(application) {
	const item = element("row").content.cloneNode(true);
	const put = (name, text) => { item.querySelector(`.${name}`).textContent = text; };
	const created = new Date(application.created_at).toLocaleDateString(undefined, { dateStyle: "medium" });
	put("company", application.company_name);
	put("role", application.role_title);
	put("detail", [application.location, `${application.priority_level} priority`, created].filter(Boolean).join(" · "));
	put("status", STATUS[application.status] ?? application.status);
	item.querySelector(".status").dataset.status = application.status;
	return item;
}

async function loadMore() {
	element("more").disabled = true;
	say("list-error", "");
	try {
		const cursor = next === null ? "&count=exact" : `&cursor=${encodeURIComponent(next)}`;
		const page = await sendSignedIn("GET", `/applications?limit=${PAGE}${cursor}`);
		if (page.total !== undefined) element("total").textContent = `${page.total} in total`;
		element("list").append(...page.data.map(row));
		element("empty").hidden = element("list").childElementCount > 0;
		next = page.next;
		element("more").hidden = next === null;
	} catch (error) {
		if (error.status === 401) signedOut();
		else say("list-error", error.message);
	} finally {
		element("more").disabled = false;
	}
}

async function signedIn(user) {
	localStorage.setItem(SIGNED_IN, "yes");
	element("who").textContent = user.full_name;
	element("list").replaceChildren();
	next = null;
	show("applications");
	await loadMore();
}

function signedOut() {
	localStorage.removeItem(SIGNED_IN);
	accessToken = null;
	element("list").replaceChildren();
	show("welcome");
	element("email").focus();
}

element("sign-in").addEventListener("submit", async (event) => {
	event.preventDefault();
	const form = event.target;
	const button = form.querySelector("button");
	button.disabled = true;
	say("sign-in-error", "");
	try {
		const session = await send("POST", "/auth/login",
			{ email: element("email").value, password: element("password").value, cookie: true });
		accessToken = session.access_token;
		form.reset();
		await signedIn(session.user);
	} catch (error) {
		say("sign-in-error", error.message);
	} finally {
		button.disabled = false;
	}
});

element("sign-out").addEventListener("click", async () => {
	try {
		await send("POST", "/auth/logout", {});
		signedOut();
	} catch (error) {
		say("list-error", error.message);
	}
});

element("more").addEventListener("click", loadMore);

async function start() {
	if (localStorage.getItem(SIGNED_IN) === null) return show("welcome");
	try {
		await refresh();
		await signedIn(await send("GET", "/me"));
	} catch (error) {
		signedOut();
		if (error.status !== 401) say("sign-in-error", error.message);
	}
}

start();
