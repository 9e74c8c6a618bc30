//! The tables of the page.

use super::Facts;
use super::markup::{Html, text};
use crate::report::errors::Example;
use crate::report::picture::Picture;
use crate::report::summary::Summary;
use crate::text::people::{count, counted, short_time};

/// So many groups of errors are listed.
const GROUPS: usize = 25;
/// So many of them have their examples on the page.
const WITH_EXAMPLES: usize = 6;

/// What failed and why.
pub fn failures(summary: &Summary, html: &mut Html) {
    let (groups, other) = summary.details.errors.commonest(GROUPS);
    if groups.is_empty() && other == 0 {
        return;
    }
    html.line("<section><h2>What failed</h2>");
    open(&["Jobs", "Status", "Error", "First job", "Last job"], html);
    for (place, group) in groups.iter().enumerate() {
        let examples = if place < WITH_EXAMPLES { examples(&group.examples) } else { String::new() };
        let hint =
            group.hint.as_ref().map_or_else(String::new, |hint| format!("<p class=\"hint\">hint: {}</p>", text(hint)));
        html.line(&format!(
            "<tr><td data-sort=\"{}\">{}</td><td><i class=\"s-{status}\"></i>{status}</td>\
             <td class=\"long\"><strong><bdi>{}</bdi></strong> <bdi>{}</bdi>{hint}{examples}</td><td>{}</td><td>{}</td></tr>",
            group.jobs,
            count(group.jobs),
            text(&group.name),
            text(&group.message),
            group.first_job,
            group.last_job,
            status = group.status.name()
        ));
    }
    html.line("</tbody></table></div>");
    if other > 0 {
        html.line(&format!("<p>{} with other errors.</p>", counted(other, "job")));
    }
    html.line("</section>");
}

fn examples(examples: &[Example]) -> String {
    if examples.is_empty() {
        return String::new();
    }
    let item = |example: &Example| {
        let Example { job, message, input } = example;
        let input = if input.is_empty() { String::new() } else { format!("<br><code>{}</code>", text(input)) };
        format!("<li>job {job}: <bdi>{}</bdi>{input}</li>", text(message))
    };
    let items: String = examples.iter().map(item).collect();
    format!("<details><summary>{}</summary><ul>{items}</ul></details>", counted(examples.len() as u64, "example"))
}

pub fn percentiles(summary: &Summary, html: &mut Html) {
    let times = &summary.details.times;
    let (all, failed) = (times.all(), times.failed());
    if all.jobs() == 0 {
        return;
    }
    open(&["", "Jobs", "50 %", "90 %", "95 %", "99 %", "99.9 %", "All"], html);
    let ok = times.of(crate::words::outcome::Status::Ok);
    for (name, times) in [("ok", ok), ("failed", Some(&failed)), ("all", Some(&all))] {
        let Some(times) = times.filter(|times| times.jobs() > 0) else { continue };
        let cells = [0.5, 0.9, 0.95, 0.99, 0.999, 1.0].into_iter().filter_map(|quantile| times.at(quantile));
        let cells: String =
            cells.map(|time| format!("<td data-sort=\"{}\">{}</td>", time.as_micros(), short_time(time))).collect();
        html.line(&format!("<tr><th scope=\"row\">{name}</th><td>{}</td>{cells}</tr>", count(times.jobs())));
    }
    html.line("</tbody></table></div><p>So many of the jobs took no longer than this in their workers.</p>");
}

pub fn slowest(picture: &Picture, html: &mut Html) {
    let jobs = picture.slowest.jobs();
    if jobs.is_empty() {
        return;
    }
    html.line("<section><h2>The slowest jobs</h2>");
    open(&["Time", "Job", "Line", "Status", "Attempts", "Worker", "Input"], html);
    for slow in jobs {
        html.line(&format!(
            "<tr><td data-sort=\"{}\">{}</td><td>{}</td><td>{}</td><td><i class=\"s-{status}\"></i>{status}</td><td>{}</td><td>{}</td>\
             <td class=\"long\"><code>{}</code></td></tr>",
            slow.elapsed.as_micros(),
            short_time(slow.elapsed),
            slow.job,
            slow.line,
            slow.attempts,
            text(&slow.worker),
            text(&slow.input),
            status = slow.status.name()
        ));
    }
    html.line("</tbody></table></div></section>");
}

pub fn replaced(summary: &Summary, picture: &Picture, html: &mut Html) {
    let (reasons, others) = picture.replaced.reasons();
    let recycled = summary.figures.recycled;
    if reasons.is_empty() && recycled == 0 {
        return;
    }
    html.line("<section><h2>Why workers were replaced</h2>");
    open(&["Times", "Reason"], html);
    for (words, times) in reasons {
        html.line(&format!(
            "<tr><td data-sort=\"{times}\">{}</td><td class=\"long\"><bdi>{}</bdi></td></tr>",
            count(times),
            text(words)
        ));
    }
    for (times, words) in [(others, "other reasons"), (recycled, "recycled as planned")] {
        if times > 0 {
            html.line(&format!(
                "<tr><td data-sort=\"{times}\">{}</td><td class=\"long\">{words}</td></tr>",
                count(times)
            ));
        }
    }
    html.line("</tbody></table></div></section>");
}

pub fn settings(facts: &Facts, html: &mut Html) {
    html.line("<section><h2>Settings and place</h2><dl class=\"settings\">");
    for (name, value) in &facts.settings {
        html.line(&format!("<div><dt>{name}</dt><dd><bdi>{}</bdi></dd></div>", text(value)));
    }
    html.line("</dl></section>");
}

/// The beginning of a table, up to its first row.
fn open(heads: &[&str], html: &mut Html) {
    html.line("<div class=\"scroll\" tabindex=\"0\"><table><thead><tr>");
    for head in heads {
        let cell = if head.is_empty() { "<td></td>".to_owned() } else { format!("<th scope=\"col\">{head}</th>") };
        html.line(&cell);
    }
    html.line("</tr></thead><tbody>");
}
