// Before anything is drawn: the colours that the user has chosen. The one script that is not a module.
try {
	var theme = localStorage.getItem("jobforge-theme");
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
	if (localStorage.getItem("jobforge-signed-in") !== null) document.documentElement.dataset.signedIn = "";
} catch (error) {
	// No store: the system's colours.
}
