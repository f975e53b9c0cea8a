// The words for what the API calls by other names, in the order in which they are shown; dates and numbers.

export const STATUS = {
	draft: { label: "Draft", next: "research_report", hint: "Next: research the company" },
	research_complete: { label: "Research done", next: "optimized_resume", hint: "Next: fit your résumé" },
	resume_ready: { label: "Résumé ready", next: "cover_letter", hint: "Next: write the letter" },
	cover_letter_ready: { label: "Letter ready", next: null, hint: "Ready to send" },
};

export const FACT = {
	company_name: "Company",
	role_title: "Role",
	location: "Location",
	job_url: "Posting's address",
	name: "Name",
	job_description: "Posting",
};

export const PRIORITY = { high: "High", medium: "Medium", low: "Low" };

export const DOCUMENT = {
	research_report: {
		label: "Research",
		flag: "research_completed",
		about: "What the company does, who works there, what the posting asks for and how you meet it.",
	},
	optimized_resume: {
		label: "Résumé",
		flag: "resume_optimized",
		needs: "research_report",
		about: "Your résumé, fitted to this posting.",
	},
	cover_letter: {
		label: "Cover letter",
		flag: "cover_letter_generated",
		needs: "optimized_resume",
		about: "Why you, why them, in less than a page.",
	},
};

export const FOCUS = {
	software_development: "Software development",
	data_science: "Data science",
	management: "Management",
	consulting: "Consulting",
	other: "Other",
};

const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });

/** "today", "3 days ago", "12 Sep", "12 Sep 2025". */
export function since(time) {
	const date = new Date(time);
	const now = new Date();
	const days = Math.round((new Date(date.toDateString()) - new Date(now.toDateString())) / 86_400_000);
	if (days > -7 && days <= 0) return relative.format(days, "day");
	return (date.getFullYear() === now.getFullYear() ? day : dayOfYear).format(date);
}

export const dateOf = (time) => dayOfYear.format(new Date(time));
export const momentOf = (time) => moment.format(new Date(time));
export const shortDay = (time) => day.format(new Date(time));

/** "1 application", "2 applications". */
export const count = (number, noun) => `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`;
