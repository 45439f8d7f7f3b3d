// The page before its script has run. Everything that comes from a run is put in by client.ts as text.

export const pageHtml = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>wgrad</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="dashboard.css">
</head>
<body>
<main class="dashboard">
<header>
<div class="title"><h1 id="name">…</h1><span id="status" class="badge">connecting</span></div>
<p id="sub" class="sub"></p>
<p id="connection" class="data" hidden></p>
</header>
<p id="error" class="data" hidden></p>
<ol id="stages"></ol>
<div id="phase" hidden><p><span id="phase-text"></span><span id="phase-detail" class="sub"></span></p>
<div class="track"><div id="phase-bar"></div></div></div>
<section id="tiles" aria-label="newest numbers"></section>
<section id="live" class="charts"></section>
<section id="picture-section" hidden><div id="pictures"></div></section>
<section><div id="tabs" role="tablist"></div><div id="curves" class="charts"></div></section>
<section id="warning-section" hidden><h2>Warnings</h2><ul id="warnings" class="warnings"></ul></section>
<section><h2>Run</h2><dl id="facts"></dl><details><summary>Settings</summary><div id="settings"></div></details></section>
</main>
<script src="dashboard.js"></script>
</body>
</html>
`;
