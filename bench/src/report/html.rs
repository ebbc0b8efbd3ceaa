// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The report as one page that needs nothing else: no network, no script, no second file.

mod chart;
mod numbers;

use std::fmt::{self, Display, Write as _};

use super::{Report, Table, form};

const STYLE: &str = include_str!("html/style.css");

/// The whole page.
pub(crate) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html>\n<!-- SPDX-License-Identifier: Apache-2.0 OR MIT -->\n\
         <!-- Written by `cargo xtask bench --page`; don't edit it by hand. -->\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>stile, measured</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    head(&mut page, report);
    numbers::goals(&mut page, report);
    contents(&mut page, report);
    for table in &report.tables {
        section(&mut page, table);
    }
    missing(&mut page, report);
    method(&mut page);
    page + "</main>\n</body>\n</html>\n"
}

/// A table's chart, and below it its numbers.
fn section(page: &mut String, table: &Table) {
    put(
        page,
        format_args!(
            "<section id=\"{}\">\n<h2>{}</h2>\n<p>{}</p>\n",
            Text(&table.id),
            Text(&table.title),
            Text(&table.note)
        ),
    );
    chart::charts(page, table);
    numbers::table(page, table);
    page.push_str("</section>\n");
}

fn head(page: &mut String, report: &Report) {
    let (machine, goals) = (&report.machine, report.goals().count());
    let met = report.goals().filter(|(_, _, met)| *met).count();
    page.push_str("<header>\n<div>\n<h1>stile, measured</h1>\n");
    page.push_str(
        "<p class=\"lede\">What stile costs, beside no agent at all and beside what one would \
         pick instead. Everybody took turns in one run on one machine.</p>\n</div>\n",
    );
    if goals > 0 {
        put(
            page,
            format_args!(
                "<p class=\"score {}\"><b>{met}<small>/{goals}</small></b> goals met</p>\n",
                if met == goals { "met" } else { "unmet" },
            ),
        );
    }
    page.push_str("</header>\n<dl class=\"facts\">\n");
    let size = if report.quick { "quick" } else { "full" };
    for (name, value) in [
        ("Date", form::date(report.started)),
        ("Run", format!("{size}, {}", form::duration(report.seconds))),
        ("Build", machine.build.clone()),
        (
            "Machine",
            format!(
                "{} × {}, {}, Linux {}",
                machine.cpus,
                machine.processor,
                form::amount(machine.memory as f64, "MiB"),
                machine.kernel
            ),
        ),
        ("Load before", format!("{:.1}", machine.load)),
    ] {
        put(
            page,
            format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", Text(&value)),
        );
    }
    page.push_str("</dl>\n");
}

fn contents(page: &mut String, report: &Report) {
    page.push_str("<nav aria-label=\"What was measured\">\n");
    for table in &report.tables {
        let (id, title) = (Text(&table.id), Text(&table.title));
        put(page, format_args!("<a href=\"#{id}\">{title}</a>\n"));
    }
    page.push_str("</nav>\n");
}

fn missing(page: &mut String, report: &Report) {
    if report.missing.is_empty() {
        return;
    }
    page.push_str("<section id=\"missing\">\n<h2>Not measured here</h2>\n<dl class=\"missing\">\n");
    for missing in &report.missing {
        let (what, why) = (Text(&missing.what), Text(&missing.why));
        put(page, format_args!("<dt>{what}</dt><dd>{why}</dd>\n"));
    }
    page.push_str("</dl>\n</section>\n");
}

fn method(page: &mut String) {
    page.push_str(
        "<footer>\n<h2>How to read this</h2>\n<p>A bar is a median over the rounds. \
         In each round everybody did one block of work, in an order that rotates, so that \
         whatever else the machine did met all of them alike. A ratio is one of two blocks of the \
         same round; ×1.04 is the median of these ratios, and the interval is where that median \
         lies in 95 of 100 draws (bootstrap). The dashed line is the goal. Compare ratios, not \
         times: those are this machine's.</p>\n<p>Written by \
         <code>cargo xtask bench --page</code>; <a href=\"bench.md\">bench.md</a> tells more.</p>\n\
         </footer>\n",
    );
}

/// Writing to a string doesn't fail.
fn put(page: &mut String, text: fmt::Arguments<'_>) {
    let _ = page.write_fmt(text);
}

/// Text that stands for itself, in elements and in quoted attributes.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&sample::report());
        for foreign in ["http:", "https:", "<script", "src=", "@import", "url("] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn text_of_others_is_only_text() {
        let page = page(&sample::report());
        assert!(page.contains("Example &lt;Processor&gt; 9000"));
        assert!(!page.contains("<Processor>"));
    }

    #[test]
    fn the_head_tells_how_many_goals_are_met() {
        let page = page(&sample::report());
        assert!(
            page.contains("<b>6<small>/8</small></b> goals met"),
            "{page}"
        );
    }

    #[test]
    fn every_element_is_closed() {
        let page = page(&sample::report());
        for element in [
            "section", "table", "tr", "div", "svg", "details", "figure", "dl", "p",
        ] {
            let open = page.matches(&format!("<{element}>")).count()
                + page.matches(&format!("<{element} ")).count();
            let closed = page.matches(&format!("</{element}>")).count();
            assert_eq!(open, closed, "{element}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_its_reason() {
        let page = page(&sample::report());
        assert!(page.contains("<dt>Tetragon</dt><dd>this kernel has no kprobes</dd>"));
    }
}
