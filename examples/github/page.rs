//! What the model knows, as a page for people. It loads itself again, without any script.

use std::fmt::Write;

use github_model::{CommitView, Delivery, Hook, RepositoryView, Status};

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>A model of GitHub</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin: 2.5rem 0 0; }
h3 { margin: 1rem 0 0.25rem; font-size: 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 1rem 0.2rem 0; border-bottom: 1px solid #8884; }
td { overflow-wrap: anywhere; }
code { font: 0.9em ui-monospace, monospace; }
.none { opacity: 0.75; }
</style>
</head>
<body>
<h1>A model of GitHub</h1>
"#;

/// Deliveries of a repository that are shown, the newest ones.
const DELIVERIES: usize = 10;

pub fn html(repositories: &[RepositoryView]) -> String {
    let mut page = HEAD.to_owned();
    for repository in repositories {
        page.push_str(&of_repository(repository));
    }
    page.push_str("</body>\n</html>\n");
    page
}

fn of_repository(repository: &RepositoryView) -> String {
    let commits = repository.commits.iter().map(of_commit);
    let hooks = repository.hooks.iter().map(of_hook);
    let newest = repository.deliveries.iter().rev().take(DELIVERIES);
    let name = escaped(&repository.name);
    [
        format!("<h2>{name}</h2>\n"),
        table("Commits", &["commit", "message", "statuses"], commits),
        table(
            "Webhooks",
            &["id", "address", "events", "last answer"],
            hooks,
        ),
        table(
            "Deliveries",
            &["event", "address", "outcome", "id"],
            newest.map(of_delivery),
        ),
    ]
    .concat()
}

fn table(title: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return format!("<h3>{title}</h3>\n<p class=\"none\">none</p>\n");
    }
    let mut table = format!("<h3>{title}</h3>\n<table>\n<tr>");
    for column in columns {
        let _ = write!(table, "<th scope=\"col\">{column}</th>");
    }
    table.push_str("</tr>\n");
    for row in rows {
        table.push_str("<tr>");
        for cell in row {
            let _ = write!(table, "<td>{cell}</td>");
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</table>\n");
    table
}

fn of_commit(commit: &CommitView) -> Vec<String> {
    let short = commit.id.get(..10).unwrap_or(&commit.id);
    let refs = commit.refs.iter().map(|name| {
        let name = name.trim_start_matches("refs/heads/");
        format!(
            " <code>{}</code>",
            escaped(name.trim_start_matches("refs/"))
        )
    });
    let statuses: Vec<String> = commit.statuses.iter().map(of_status).collect();
    vec![
        format!(
            "<code>{}</code>{}",
            escaped(short),
            refs.collect::<String>()
        ),
        escaped(&commit.subject),
        statuses.join("<br>"),
    ]
}

fn of_status(status: &Status) -> String {
    let mark = match status.state.as_str() {
        "success" => "✅",
        "pending" => "⏳",
        _ => "❌",
    };
    let context = escaped(&status.context);
    let context = match &status.target_url {
        Some(url) => format!("<a href=\"{}\">{context}</a>", escaped(url)),
        None => context,
    };
    let description = escaped(status.description.as_deref().unwrap_or_default());
    format!("{mark} {} {context} {description}", escaped(&status.state))
}

fn of_hook(hook: &Hook) -> Vec<String> {
    let (code, kind, message) = &hook.last_response;
    let answer = match (code, message) {
        (Some(code), _) => code.to_string(),
        (None, Some(message)) => message.clone(),
        (None, None) => kind.clone(),
    };
    let off = if hook.active { "" } else { " (off)" };
    vec![
        hook.id.to_string(),
        escaped(&hook.url),
        escaped(&format!(
            "{}{off}, {}",
            hook.events.join(", "),
            hook.content_type
        )),
        escaped(&answer),
    ]
}

fn of_delivery(delivery: &Delivery) -> Vec<String> {
    let reference = delivery.payload["ref"].as_str().unwrap_or_default();
    vec![
        escaped(&format!("{} {reference}", delivery.event)),
        escaped(&delivery.url),
        escaped(&delivery.outcome.to_string()),
        format!("<code>{}</code>", escaped(&delivery.guid)),
    ]
}

/// Text that says nothing to a browser.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
