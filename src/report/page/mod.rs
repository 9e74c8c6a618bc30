//! `--report`: one page that says how a run went. It says first what people ask first; everything on it is drawn from the
//! same figures as the summary.
//!
//! The page is one file and needs no network and no script: a script only makes tables sortable. Whatever comes from
//! outside, an error's message or a job, is text and nothing else (`markup`).

mod charts;
mod markup;
mod tables;

use std::time::Duration;

use super::bound::{Bound, bound};
use super::picture::{Picture, Spent};
use super::summary::{Next, Summary};
use crate::text::people::{count, counted, rate, seconds, short_time};
use crate::words::doing::Occupation;
use crate::words::exit::Exit;
use crate::words::outcome::Status;
use crate::words::slots::SlotNames;
use markup::{Html, text};

/// What the page tells of a run besides its figures.
#[derive(Debug)]
pub struct Facts {
    /// What the workers are: the page's title.
    pub worker: String,
    /// The whole command, for a shell.
    pub command: String,
    /// Name and value of what was set, and of where and when it was run.
    pub settings: Vec<(&'static str, String)>,
    /// How much of all processors' time the workers and forkpool took, in 0..=1; `None` where nobody knows, since the
    /// workers are on other hosts.
    pub processors: Option<f64>,
    /// What failed of the run itself.
    pub errors: Vec<String>,
    /// What slots are called.
    pub names: SlotNames,
    /// How long the run stood still, which is no part of its times.
    pub paused: Duration,
}

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The whole page.
pub fn page(summary: &Summary, picture: &Picture, facts: &Facts) -> Vec<u8> {
    let mut html = Html::default();
    let title = text(&facts.worker);
    html.line("<!DOCTYPE html>");
    html.line("<html lang=\"en\"><head><meta charset=\"utf-8\">");
    html.line("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">");
    html.line(
        "<meta name=\"viewport\" content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">",
    );
    html.line(&format!(
        "<title>{} – {title}</title>\n<style>\n{STYLE}</style></head><body><main>",
        verdict_word(summary)
    ));
    header(summary, facts, &mut html);
    bound_by(picture, facts, &mut html);
    tables::failures(summary, &mut html);
    next(summary, facts, &mut html);
    charts::jobs_over_time(picture, &mut html);
    charts::lanes(picture, &facts.names, &mut html);
    charts::distribution(summary, &mut html);
    tables::percentiles(summary, &mut html);
    tables::replaced(summary, picture, &mut html);
    tables::slowest(picture, &mut html);
    tables::settings(facts, &mut html);
    html.line(&format!("</main><script>\n{SCRIPT}</script></body></html>"));
    html.into_bytes()
}

/// Whether everything went well, in a word.
fn verdict_word(summary: &Summary) -> &'static str {
    match summary.exit_status {
        0 => "ok",
        1 => "some jobs failed",
        5 | 129.. => "stopped",
        _ => "failed",
    }
}

/// How the run went, in a sentence or two.
fn verdict(summary: &Summary) -> String {
    let all = summary.figures.all();
    let (total, failed, unbegun) = (all.total(), all.failed(), all.get(Status::NotRun));
    let mut words = match (total, failed) {
        (0, _) => "There were no jobs.".to_owned(),
        (1, 0) if unbegun == 0 => "The job is ok.".to_owned(),
        (_, 0) if unbegun == 0 => format!("All {} are ok.", counted(total, "job")),
        (_, 0) if unbegun == total => format!("None of {} was begun.", counted(total, "job")),
        (_, 0) => format!("{} of {} are ok.", count(all.get(Status::Ok)), counted(total, "job")),
        (_, failed) if failed == total => format!("All {} failed.", counted(total, "job")),
        _ => format!("{} of {} failed.", count(failed), counted(total, "job")),
    };
    if unbegun > 0 && unbegun < total {
        words.push_str(&format!(
            " {} never begun.",
            if unbegun == 1 { "1 was".to_owned() } else { format!("{} were", count(unbegun)) }
        ));
    }
    if let Some(why) = &summary.stopped {
        words.push_str(&format!(" The run was ended early: {why}."));
    }
    if summary.exit_status == Exit::ReaderGone.status() {
        words.push_str(" The reader of the output went away.");
    }
    match (summary.complete, summary.unread) {
        (true, _) => {}
        (false, Some(lines)) => words.push_str(&format!(" {} of input not read.", counted(lines, "line"))),
        (false, None) => words.push_str(" The rest of the input was not read."),
    }
    words
}

fn header(summary: &Summary, facts: &Facts, html: &mut Html) {
    let (figures, class) = (&summary.figures, if summary.exit_status == 0 { "good" } else { "bad" });
    html.line(&format!(
        "<header class=\"{class}\"><p class=\"worker\">forkpool · <bdi>{}</bdi></p>",
        text(&facts.worker)
    ));
    html.line(&format!("<h1>{}</h1>", text(&verdict(summary))));
    for error in &facts.errors {
        html.line(&format!("<p class=\"error\">{}</p>", text(error)));
    }
    html.line("</header><dl class=\"tiles\">");
    let all = figures.all();
    let times = summary.details.times.all();
    let mut tiles = vec![("jobs", "Jobs", count(all.total())), ("ok", "ok", count(all.get(Status::Ok)))];
    for status in Status::ALL.into_iter().filter(|&status| status != Status::Ok && all.get(status) > 0) {
        tiles.push((status.name(), status.name(), count(all.get(status))));
    }
    tiles.push(("seconds", "Time", seconds(summary.elapsed.as_secs_f64())));
    tiles.push(("rate", "Jobs a second", rate(summary.per_second()).trim_end_matches("/s").to_owned()));
    for (id, name, quantile) in
        [("p50", "Half took up to", 0.5), ("p95", "95 % took up to", 0.95), ("max", "The longest", 1.0)]
    {
        tiles.extend(times.at(quantile).map(|time| (id, name, short_time(time))));
    }
    let others = [
        ("restored", "From the journal", figures.restored.total()),
        ("passed_on_retry", "Passed on retry", figures.passed_on_retry),
        ("restarts", "Workers replaced", figures.restarts),
        ("recycled", "Workers recycled", figures.recycled),
    ];
    tiles.extend(
        others.into_iter().filter(|(.., number)| *number > 0).map(|(id, name, number)| (id, name, count(number))),
    );
    for (id, name, value) in tiles {
        html.line(&format!("<div><dt>{name}</dt><dd data-figure=\"{id}\">{value}</dd></div>"));
    }
    html.line("</dl>");
}

/// What can be done now: the commands.
fn next(summary: &Summary, facts: &Facts, html: &mut Html) {
    html.line("<section><h2>Run it again</h2>");
    html.line(&format!("<p>The whole run:</p>{}", command(&facts.command)));
    match &summary.next {
        Next::Nothing => {}
        Next::Hint(words) => html.line(&format!("<p>Another time: {}.</p>", text(words))),
        Next::GoOn(again) | Next::RunFailed(again) => {
            let what = if matches!(summary.next, Next::GoOn(_)) { "What is left of it" } else { "Only what failed" };
            let stdin = if again.needs_stdin { ", with the same input on stdin" } else { "" };
            html.line(&format!("<p>{what}{stdin}:</p>{}", command(&again.command)));
        }
    }
    html.line("</section>");
}

/// A command, in which lines break between words.
fn command(command: &str) -> String {
    let words: Vec<String> = command.split(' ').map(|word| format!("<span>{}</span>", text(word))).collect();
    format!("<pre><code>{}</code></pre>", words.join(" "))
}

fn bound_by(picture: &Picture, facts: &Facts, html: &mut Html) {
    let total = picture.lanes.total();
    let Some(Bound { who, percent, figure, advice }) = bound(&total, facts.processors.unwrap_or_default()) else {
        return;
    };
    html.line("<section><h2>What bound the run</h2>");
    let who = who[..1].to_uppercase() + &who[1..];
    html.line(&format!("<p><strong data-figure=\"bound\">{who}</strong>: {percent} % {figure}. {advice}</p>"));
    charts::shares(&total, "All slots together", html);
    let used = facts
        .processors
        .map(|used| format!("Workers and forkpool took {:.0} % of the time of all processors.", used * 100.0));
    html.line(&format!("<p>{}{}</p></section>", used.unwrap_or_default(), paused(facts.paused)));
}

fn paused(time: Duration) -> String {
    // What is shorter is the clock's own grain.
    if time < Duration::from_secs(1) {
        return String::new();
    }
    format!(
        " The run stood still for {} (Ctrl-Z, or a machine that slept), which is in none of these times.",
        seconds(time.as_secs_f64())
    )
}

/// `busy 93 %, waiting for input 7 %`
fn words_of(spent: &Spent) -> String {
    let total: f64 = spent.iter().map(Duration::as_secs_f64).sum();
    let percent = |time: &Duration| time.as_secs_f64() / total.max(1e-9) * 100.0;
    let parts = Occupation::ALL.iter().zip(spent).filter(|(_, time)| percent(time) >= 0.5);
    parts
        .map(|(occupation, time)| format!("{} {:.0} %", occupation.name(), percent(time)))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests;
