//! The charts: SVG that stretches with the page. Each says in words what it shows, too. Many bars of one colour are one
//! path, which keeps the page small.

use std::fmt::Write as _;
use std::time::Duration;

use super::markup::{Html, text};
use super::words_of;
use crate::report::picture::{DRAWN, Picture, Spent};
use crate::report::summary::Summary;
use crate::text::people::{count, counted, seconds, short_time};
use crate::words::doing::Occupation;
use crate::words::outcome::Status;
use crate::words::slots::SlotNames;

/// Columns of the jobs over time, and of the distribution of times.
const COLUMNS: usize = 120;
const BUCKETS: usize = 40;
/// Cells of all lanes together, which bounds the page.
const CELLS: usize = 2500;
/// Height of a chart in the units of its picture, whose columns are 1 wide.
const HEIGHT: f64 = 100.0;

/// One bar that is shared among occupations, with its legend.
pub fn shares(spent: &Spent, what: &str, html: &mut Html) {
    let total: f64 = spent.iter().map(Duration::as_secs_f64).sum();
    html.line(&format!("<div class=\"shares\" role=\"img\" aria-label=\"{what}: {}\">", words_of(spent)));
    // What would be told as 0.0 % is left out.
    let some = || {
        let percents = spent.iter().map(|time| time.as_secs_f64() / total.max(1e-9) * 100.0);
        Occupation::ALL.iter().zip(percents).filter(|(_, percent)| *percent >= 0.05)
    };
    for (occupation, percent) in some() {
        let (class, name) = (class_of(*occupation), occupation.name());
        html.line(&format!(
            "<span class=\"{class}\" style=\"width:{percent:.2}%\" title=\"{name}: {percent:.1} %\"></span>"
        ));
    }
    html.line("</div><ul class=\"legend\">");
    for (occupation, percent) in some() {
        html.line(&format!("<li><i class=\"{}\"></i>{} {percent:.1} %</li>", class_of(*occupation), occupation.name()));
    }
    html.line("</ul>");
}

pub fn jobs_over_time(picture: &Picture, html: &mut Html) {
    let total = picture.end.saturating_duration_since(picture.start);
    let columns = picture.jobs.columns(COLUMNS, total);
    let sum = |column: &[u32; Status::ALL.len()]| column.iter().map(|&jobs| u64::from(jobs)).sum::<u64>();
    let most = columns.iter().map(sum).max().unwrap_or(0);
    if most == 0 {
        return;
    }
    let each = total.div_f64(columns.len() as f64);
    html.line("<section><h2>Jobs over time</h2><figure>");
    let label = format!(
        "Jobs that ended, over {}: {} in the fullest {}",
        seconds(total.as_secs_f64()),
        counted(most, "job"),
        short_time(each)
    );
    html.line(&format!("<figcaption>{label}.</figcaption>"));
    open(columns.len(), &label, html);
    let mut floor = vec![0.0; columns.len()];
    for status in Status::ALL {
        let mut path = String::new();
        for (at, column) in columns.iter().enumerate() {
            let height = f64::from(column[status as usize]) / most as f64 * HEIGHT;
            if height > 0.0 {
                // What there is can be seen, however little it is.
                let height = height.max(0.7);
                bar(at, floor[at], height, &mut path);
                floor[at] += height;
            }
        }
        if !path.is_empty() {
            html.line(&format!("<path class=\"s-{}\" d=\"{path}\"/>", status.name()));
        }
    }
    for (at, column) in columns.iter().enumerate().filter(|(_, column)| sum(column) > 0) {
        let parts = Status::ALL.into_iter().filter(|&status| column[status as usize] > 0);
        let parts: Vec<String> =
            parts.map(|status| format!("{} {}", count(column[status as usize].into()), status.name())).collect();
        let when = short_time(each.mul_f64(at as f64));
        hover(at, &format!("from {when}: {}", parts.join(", ")), html);
    }
    close(total, html);
    legend(picture, html);
    html.line("</section>");
}

/// The statuses that there are.
fn legend(picture: &Picture, html: &mut Html) {
    let all = picture.jobs.columns(1, Duration::ZERO);
    html.line("<ul class=\"legend\">");
    for status in Status::ALL.into_iter().filter(|&status| all[0][status as usize] > 0) {
        html.line(&format!(
            "<li><i class=\"s-{0}\"></i>{0} {1}</li>",
            status.name(),
            count(all[0][status as usize].into())
        ));
    }
    html.line("</ul>");
}

pub fn lanes(picture: &Picture, names: &SlotNames, html: &mut Html) {
    let total = picture.end.saturating_duration_since(picture.start);
    let lanes = &picture.lanes.lanes;
    if lanes.is_empty() || total.is_zero() {
        return;
    }
    html.line("<section><h2>Workers over time</h2><figure>");
    let slots = picture.lanes.totals.len();
    let more =
        if slots > DRAWN { format!(" The first {DRAWN} of {} are drawn.", count(slots as u64)) } else { String::new() };
    html.line(&format!("<figcaption>What each slot did most of the time.{more}</figcaption><div class=\"lanes\">"));
    let most = (CELLS / lanes.len()).min(200);
    for (slot, (lane, spent)) in (0..).zip(lanes.iter().zip(&picture.lanes.totals)) {
        let columns = lane.columns(most, total);
        let (name, words) = (names.name(slot), words_of(spent));
        html.line(&format!("<span>{}</span>", text(&name)));
        html.line(&format!(
            "<svg viewBox=\"0 0 {} 1\" preserveAspectRatio=\"none\" role=\"img\"><title>{}: {words}</title>",
            columns.len(),
            text(&name)
        ));
        for occupation in Occupation::ALL {
            let path = runs(&columns, occupation);
            if !path.is_empty() {
                html.line(&format!("<path class=\"{}\" d=\"{path}\"/>", class_of(occupation)));
            }
        }
        html.line("</svg>");
    }
    html.line(&format!("<span></span>{}</div></figure>", axis(total)));
    html.line("<ul class=\"legend\">");
    let spent = picture.lanes.total();
    for (occupation, _) in Occupation::ALL.iter().zip(spent).filter(|(_, time)| !time.is_zero()) {
        html.line(&format!("<li><i class=\"{}\"></i>{}</li>", class_of(*occupation), occupation.name()));
    }
    html.line("</ul></section>");
}

/// The columns in which a slot spent most of its time so, neighbours joined.
fn runs(columns: &[[f32; Occupation::ALL.len()]], wanted: Occupation) -> String {
    let dominant = |column: &[f32; Occupation::ALL.len()]| {
        let most = column.iter().copied().fold(0.0, f32::max);
        Occupation::ALL.into_iter().find(|&occupation| most > 0.0 && column[occupation as usize] == most)
    };
    let mut path = String::new();
    let mut at = 0;
    for run in columns.chunk_by(|one, other| dominant(one) == dominant(other)) {
        if dominant(&run[0]) == Some(wanted) {
            // Writing to a String cannot fail, here and below.
            let _ = write!(path, "M{at} 0h{}v1h-{0}z", run.len());
        }
        at += run.len();
    }
    path
}

/// How long jobs took, on a scale in which each step is so many times the one before.
pub fn distribution(summary: &Summary, html: &mut Html) {
    let (all, failed) = (summary.details.times.all(), summary.details.times.failed());
    if all.jobs() == 0 {
        return;
    }
    let shortest = all.min().max(Duration::from_micros(1));
    let longest = all.max().max(shortest * 2) + Duration::from_micros(1);
    let step = (longest.as_secs_f64() / shortest.as_secs_f64()).powf(1.0 / BUCKETS as f64);
    let edge = |bucket: usize| shortest.mul_f64(step.powi(bucket as i32));
    let mut seen = (0, 0);
    let buckets: Vec<(u64, u64)> = (0..BUCKETS)
        .map(|bucket| {
            let end = if bucket + 1 == BUCKETS { Duration::MAX } else { edge(bucket + 1) };
            let until = (all.between(Duration::ZERO, end), failed.between(Duration::ZERO, end));
            let here = (until.0 - seen.0, until.1 - seen.1);
            seen = until;
            here
        })
        .collect();
    let most = buckets.iter().map(|(jobs, _)| *jobs).max().unwrap_or(0).max(1);
    html.line("<section><h2>How long jobs took</h2><figure>");
    let label = format!(
        "{} from {} to {}, short ones left",
        counted(all.jobs(), "job"),
        short_time(shortest.min(all.max())),
        short_time(all.max())
    );
    html.line(&format!("<figcaption>{label}; each column is {step:.2} times as long as the one before.</figcaption>"));
    open(BUCKETS, &label, html);
    let (mut ok_path, mut failed_path) = (String::new(), String::new());
    for (at, &(jobs, failed)) in buckets.iter().enumerate().filter(|(_, (jobs, _))| *jobs > 0) {
        let height = |jobs: u64| if jobs == 0 { 0.0 } else { (jobs as f64 / most as f64 * HEIGHT).max(0.7) };
        bar(at, 0.0, height(jobs - failed), &mut ok_path);
        bar(at, height(jobs - failed), height(failed), &mut failed_path);
        let (from, to) = (short_time(edge(at)), short_time(edge(at + 1).min(longest)));
        hover(at, &format!("{from} to {to}: {} ok, {} failed", count(jobs - failed), count(failed)), html);
    }
    html.line(&format!("<path class=\"s-ok\" d=\"{ok_path}\"/><path class=\"s-error\" d=\"{failed_path}\"/>"));
    html.line("</svg><div class=\"axis\">");
    for bucket in [0, BUCKETS / 4, BUCKETS / 2, BUCKETS * 3 / 4] {
        html.line(&format!("<span>{}</span>", short_time(edge(bucket))));
    }
    html.line(&format!("<span>{}</span></div></figure>", short_time(all.max())));
    html.line("<ul class=\"legend\">");
    for (class, name, jobs) in [("s-ok", "ok", all.jobs() - failed.jobs()), ("s-error", "failed", failed.jobs())] {
        if jobs > 0 {
            html.line(&format!("<li><i class=\"{class}\"></i>{name} {}</li>", count(jobs)));
        }
    }
    html.line("</ul></section>");
}

fn open(columns: usize, label: &str, html: &mut Html) {
    html.line(&format!(
        "<svg class=\"chart\" viewBox=\"0 0 {columns} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">",
        text(label)
    ));
}

fn close(total: Duration, html: &mut Html) {
    html.line(&format!("</svg>{}</figure>", axis(total)));
}

/// The times below a chart over time.
fn axis(total: Duration) -> String {
    let time =
        |quarter: u32| if quarter == 0 { "0".to_owned() } else { short_time(total.mul_f64(f64::from(quarter) / 4.0)) };
    let mark = |quarter: u32| format!("<span>{}</span>", time(quarter));
    format!("<div class=\"axis\">{}</div>", (0..=4).map(mark).collect::<String>())
}

/// A bar of a column, that stands on `floor`.
fn bar(column: usize, floor: f64, height: f64, path: &mut String) {
    if height > 0.0 {
        let _ = write!(path, "M{column} {:.1}h.9v-{height:.1}h-.9z", HEIGHT - floor);
    }
}

/// What a column says where a pointer rests on it.
fn hover(column: usize, words: &str, html: &mut Html) {
    html.line(&format!(
        "<rect class=\"hover\" x=\"{column}\" width=\"1\" height=\"{HEIGHT}\"><title>{}</title></rect>",
        text(words)
    ));
}

fn class_of(occupation: Occupation) -> &'static str {
    match occupation {
        Occupation::Busy => "o-busy",
        Occupation::Starting => "o-starting",
        Occupation::NoInput => "o-input",
        Occupation::NoOutput => "o-output",
        Occupation::Held => "o-held",
        Occupation::NothingLeft => "o-left",
        Occupation::Down => "o-down",
    }
}
