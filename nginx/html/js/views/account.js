// The account: profile, password, how it looks, what is in it, and its end.

import { get, newKey, post, request } from "../api.js";
import { applications } from "../applications.js";
import { h } from "../dom.js";
import { dropDrafts } from "../draft.js";
import { count, dateOf } from "../labels.js";
import * as outbox from "../outbox.js";
import { go } from "../router.js";
import { currentUser, ended, setUser, signIn, signOut } from "../session.js";
import { button, complain, dialog, field, form, toast } from "../ui.js";
import { pageHead } from "./parts.js";
import { planPanel } from "./plan.js";

const panel = (title, ...children) => h("section", { class: "panel stack" }, h("h2", null, title), ...children);

function profile() {
	const user = currentUser();
	return panel(
		"Profile",
		form(
			{ class: "stack" },
			async (values) => {
				const change = { full_name: values.full_name.trim(), email: values.email.trim() };
				const answer = await outbox.update({
					key: "profile",
					label: () => "Your profile",
					path: "/me",
					change,
					before: currentUser(),
				});
				if (answer !== null) setUser(answer.data);
				toast(
					answer !== null
						? "Your profile is saved."
						: "It could not be sent and is kept here. It is sent when the network is back.",
				);
			},
			h(
				"div",
				{ class: "pair" },
				field({
					label: "Your name",
					name: "full_name",
					autocomplete: "name",
					required: true,
					maxlength: 255,
					value: user.full_name,
				}),
				field({
					label: "Email",
					name: "email",
					type: "email",
					autocomplete: "email",
					required: true,
					maxlength: 255,
					value: user.email,
				}),
			),
			h(
				"p",
				{ class: "actions" },
				button("Save", { type: "submit" }),
				h("span", { class: "muted" }, `Here since ${dateOf(user.created_at)}`),
			),
		),
	);
}

function password() {
	return panel(
		"Password",
		form(
			{ class: "stack" },
			async (values, node) => {
				await post("/me/password", {
					current_password: values.current_password,
					new_password: values.new_password,
				});
				node.reset();
				// All sessions have ended with the old password, this one too: it goes on with a new one.
				await signIn(currentUser().email, values.new_password);
				toast("The password is changed. Every other device is signed out.");
			},
			h("input", {
				type: "text",
				name: "username",
				autocomplete: "username",
				value: currentUser().email,
				hidden: true,
			}),
			h(
				"div",
				{ class: "pair" },
				field({
					label: "Current password",
					name: "current_password",
					type: "password",
					autocomplete: "current-password",
					required: true,
				}),
				field({
					label: "New password",
					name: "new_password",
					type: "password",
					autocomplete: "new-password",
					required: true,
					minlength: 8,
					hint: "8 to 72 bytes. All other devices are signed out.",
				}),
			),
			h("p", { class: "actions" }, button("Change the password", { type: "submit" })),
		),
	);
}

function looks() {
	const chosen = localStorage.getItem("jobforge-theme") ?? "system";
	const theme = (value, label) =>
		h(
			"label",
			{ class: "chip" },
			h("input", {
				type: "radio",
				name: "theme",
				value,
				checked: chosen === value,
				onchange: () => {
					if (value === "system") {
						localStorage.removeItem("jobforge-theme");
						delete document.documentElement.dataset.theme;
					} else {
						localStorage.setItem("jobforge-theme", value);
						document.documentElement.dataset.theme = value;
					}
				},
			}),
			h("span", null, label),
		);
	return panel(
		"Display and keyboard",
		h(
			"fieldset",
			{ class: "chips" },
			h("legend", null, "Colours"),
			theme("system", "As the system"),
			theme("light", "Light"),
			theme("dark", "Dark"),
		),
		h(
			"label",
			{ class: "check" },
			h("input", {
				type: "checkbox",
				checked: localStorage.getItem("jobforge-keys") !== "off",
				onchange: (event) =>
					event.target.checked
						? localStorage.removeItem("jobforge-keys")
						: localStorage.setItem("jobforge-keys", "off"),
			}),
			"Shortcuts of a single key: / n b t r ?",
		),
	);
}

async function save(path, name, accept) {
	const { data } = await get(path, { accept, ms: 120_000 });
	const text = typeof data === "string" ? data : JSON.stringify(data);
	const address = URL.createObjectURL(new Blob([text], { type: accept }));
	h("a", { href: address, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

const busyWhile = (run) => async (event) => {
	const control = event.currentTarget;
	control.setAttribute("aria-busy", "true");
	try {
		await run();
	} catch (problem) {
		complain(problem);
	} finally {
		control.removeAttribute("aria-busy");
	}
};

function data() {
	const today = new Date().toISOString().slice(0, 10);
	const place = h("p", { class: "form-fault", role: "alert", hidden: true });
	const input = h("input", {
		type: "file",
		id: "import",
		accept: ".json,application/json",
		"aria-describedby": "import-hint",
		onchange: async () => {
			const [file] = input.files;
			if (!file) return;
			place.hidden = true;
			input.setAttribute("aria-busy", "true");
			try {
				const answer = await request("POST", "/me/import", {
					body: file,
					type: "application/json",
					key: newKey(),
					ms: 120_000,
				});
				applications.dispatchEvent(new CustomEvent("created", { detail: null }));
				const held = Object.entries(answer.data ?? {})
					.filter(([, number]) => typeof number === "number")
					.map(([name, number]) => `${number} ${name}`);
				toast(`Imported${held.length > 0 ? `: ${held.join(", ")}` : ""}.`);
				go("/board");
			} catch (problem) {
				place.textContent = [
					problem.message,
					...(problem.errors ?? []).slice(0, 5).map((one) => `${one.pointer}: ${one.detail}`),
				].join(" ");
				place.hidden = false;
			} finally {
				input.removeAttribute("aria-busy");
				input.value = "";
			}
		},
	});
	return panel(
		"Your data",
		h(
			"p",
			{ class: "muted" },
			"Everything that is kept about you, in one file: résumés, applications, documents, embeddings.",
		),
		h(
			"p",
			{ class: "actions" },
			button("Download all (JSON)", {
				class: "quiet",
				onclick: busyWhile(() => save("/me/export", `jobforge-${today}.json`, "application/json")),
			}),
			button("Applications (CSV)", {
				class: "quiet",
				onclick: busyWhile(() => save("/applications", `jobforge-applications-${today}.csv`, "text/csv")),
			}),
		),
		h(
			"div",
			{ class: "field" },
			h("label", { for: "import" }, "Import such a file"),
			input,
			h("p", { class: "hint", id: "import-hint" }, "Into an account without applications and résumés."),
		),
		place,
	);
}

function end() {
	return panel(
		"Delete the account",
		h("p", null, "Everything of yours is deleted for good, at once. Download it first."),
		h(
			"p",
			{ class: "actions" },
			button("Delete my account", {
				class: "danger",
				onclick: () =>
					dialog("Delete your account?", (close) => [
						form(
							{ class: "stack" },
							async (values) => {
								await request("DELETE", "/me", { body: { password: values.password } });
								for (const entry of outbox.all()) outbox.discard(entry.key);
								dropDrafts();
								close();
								ended();
								toast("Your account is deleted.");
							},
							h("p", null, "There is no way back. Type your password to go on."),
							field({
								label: "Password",
								name: "password",
								type: "password",
								autocomplete: "current-password",
								required: true,
							}),
							h(
								"p",
								{ class: "actions" },
								button("Cancel", { class: "quiet", onclick: () => close() }),
								button("Delete for good", { type: "submit", class: "danger" }),
							),
						),
					]),
			}),
		),
	);
}

const past = () =>
	panel(
		"History",
		h("p", { class: "muted" }, "Who added, changed or deleted what in this account, and when."),
		h("p", { class: "actions" }, h("a", { class: "button quiet", href: "/account/history" }, "Show the history")),
	);

export default function account(page) {
	const unsent = outbox.all().length;
	return {
		title: "Account",
		body: h(
			"div",
			{ class: "page narrow" },
			pageHead("Account", button("Sign out", { class: "quiet", onclick: busyWhile(signOut) })),
			unsent > 0 && h("p", { class: "muted" }, `${count(unsent, "change")} waiting in this browser.`),
			profile(),
			password(),
			planPanel(page.signal),
			looks(),
			data(),
			past(),
			end(),
		),
	};
}
