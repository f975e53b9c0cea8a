// Guesses the facts of a position from the text of its posting. The user corrects what is wrong.

const TITLE =
	/\b(engineer|developer|programmer|architect|manager|designer|analyst|scientist|consultant|director|lead|head of|administrator|specialist|coordinator|assistant|officer|researcher|writer|editor|technician|nurse|teacher|accountant|intern|recruiter|representative|associate|strategist|owner|operator|librarian|planner)\b/i;
const LABELS = {
	company_name: /^(?:company|employer|organi[sz]ation|about)\s*[:–-]\s*(\S.*)$/i,
	role_title: /^(?:job\s*title|role|position|title|job|vacancy)\s*[:–-]\s*(\S.*)$/i,
	location: /^(?:job\s*location|location|place|office|where|based in)\s*[:–-]?\s+(\S.*)$/i,
};
const PLACE =
	/^(?:(?:fully\s+)?remote|hybrid|on-?site)\b.{0,40}$|^[\p{Lu}][\p{L}.' -]+,\s*[\p{Lu}][\p{L}.' -]+(?:\s*\([^)]*\))?$/u;
const NAME = "([\\p{Lu}\\d][\\p{L}\\d&.'+-]*(?:\\s+(?:&|and|of|[\\p{Lu}\\d][\\p{L}\\d&.'+-]*)){0,4})";
const SENTENCES = [
	new RegExp(`^\\W*(?:about|join|at|welcome to|life at)\\s+${NAME}`, "u"),
	new RegExp(`${NAME}\\s+(?:is|are)\\s+(?:hiring|looking for|seeking|searching for|recruiting)`, "u"),
	new RegExp(`(?:join|about|at|for)\\s+${NAME}\\s*(?:as|,|\\.|!|$)`, "u"),
	new RegExp(`^${NAME}\\s+(?:is|makes|builds|moves|helps|runs|sells|develops|provides|operates)\\b`, "u"),
];
const ROLE_SENTENCE =
	/(?:hiring|looking for|seeking|searching for|recruiting|join us as)\s+(?:an?|our next|our first)\s+([^.,;:\n]{4,80}?)(?=\s+(?:who|to|for|in|at|with|that)\b|[.,;:]|$)/i;
const BOARDS =
	/(?:^|\.)(?:lever|greenhouse|ashbyhq|workable|smartrecruiters|linkedin|indeed|glassdoor|personio|recruitee|teamtailor)\./;

const LONGEST_LINE = 300; // what is looked at of a line: some patterns take time by the square of it

const tidy = (text) =>
	text
		.replace(/\s+/g, " ")
		.replace(/[\s.,;:–-]+$/, "")
		.trim();
const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** "careers.acme-tools.example" is Acme Tools; on a job board it is the first part of the path. */
function companyOfAddress(address) {
	let url;
	try {
		url = new URL(address);
	} catch {
		return "";
	}
	const labels = url.hostname
		.split(".")
		.filter((label) => !/^(www|jobs?|careers?|boards?|apply|join|work|hire)$/.test(label));
	const name = BOARDS.test(url.hostname) ? (url.pathname.split("/")[1] ?? "") : (labels.at(-2) ?? "");
	return /^(jobs?|view|viewjob|)$/.test(name) ? "" : name.split(/[-_]/).map(capital).join(" ");
}

/** "Senior Engineer at Acme", "Acme: Senior Engineer", "Senior Engineer | Acme | Berlin". */
function fromHeadline(lines) {
	for (const line of lines.slice(0, 4)) {
		if (line.length > 120) continue;
		const at = /^(.{4,80}?)\s+(?:at|@)\s+(.{2,60})$/i.exec(line);
		if (at && TITLE.test(at[1])) return { role_title: at[1], company_name: at[2] };
		const parts = line.split(/\s+[|–—·-]\s+|:\s+/);
		const role = parts.find((part) => TITLE.test(part));
		if (parts.length > 1 && parts.length < 5 && role) {
			const place = parts.find((part) => part !== role && PLACE.test(part));
			const company = parts.find((part) => part !== role && part !== place && part.length < 60);
			return { role_title: role, ...(company && { company_name: company }), ...(place && { location: place }) };
		}
	}
	const at = lines.slice(0, 6).findIndex((line) => line.length < 80 && TITLE.test(line) && !/[.!?]$/.test(line));
	return at < 0 ? {} : { role_title: lines[at], ...fromByline(lines[at + 1] ?? "") };
}

/** Below the role: "Acme · Berlin, hybrid". */
function fromByline(line) {
	const parts = line.split(/\s+[|–—·-]\s+/);
	if (line.length > 100 || parts.length < 2 || /https?:/.test(line)) return {};
	return { company_name: parts[0], location: parts[1] };
}

function fromLabels(lines) {
	const found = {};
	for (const line of lines.slice(0, 40))
		for (const [name, pattern] of Object.entries(LABELS)) {
			const match = line.length < 140 ? pattern.exec(line) : null;
			if (match && !(name in found) && !/^(us|the|this|you|we)\b/i.test(match[1])) found[name] = match[1];
		}
	return found;
}

/** company_name, role_title, location and job_url of a posting, "" where there is no telling. */
export function guess(text) {
	const lines = text
		.split("\n")
		.map((line) =>
			line
				.trimStart()
				.slice(0, LONGEST_LINE)
				.replace(/^[#>*\s]+/, "")
				.trim(),
		)
		.filter(Boolean);
	const url = /https?:\/\/[^\s<>"')\]]{1,2000}/.exec(text)?.[0].replace(/[.,;]+$/, "") ?? "";
	const labels = fromLabels(lines);
	const headline = fromHeadline(lines);
	const sentence = SENTENCES.map((pattern) =>
		lines
			.slice(0, 12)
			.map((line) => pattern.exec(line)?.[1])
			.find((name) => name && !/^(We|You|Our|The|This|It|Us|Your|A|An|In)$/.test(name) && !TITLE.test(name)),
	).find(Boolean);
	const place = lines.slice(0, 12).find((line) => line.length < 60 && PLACE.test(line));
	return {
		company_name: tidy(labels.company_name ?? headline.company_name ?? sentence ?? companyOfAddress(url)).slice(
			0,
			255,
		),
		role_title: tidy(labels.role_title ?? headline.role_title ?? ROLE_SENTENCE.exec(text)?.[1] ?? "").slice(0, 255),
		location: tidy(labels.location ?? headline.location ?? place ?? "").slice(0, 255),
		job_url: url,
	};
}
