//! docs/CONFIGURATION.md, written from the table.
//! Renew it with `UPDATE_DOCS=1 cargo test --lib configuration_page`.

use std::fmt::Write;

use super::plugins::PLUGINS;
use super::table::{File, Key, Kind, Reload, Section};

const FILES: &[(File, &str, &str)] = &[
    (File::Server, "monkey.conf", "The server."),
    (
        File::Site,
        "sites/NAME",
        "A site. `sites/default` must be there and is the first; every other file is one more, in the order of their names, but for dotfiles and names ending in `~`.",
    ),
    (File::Mime, "monkey.mime", "Media types. Must be there; the shipped one is built in for `-o` alone."),
    (File::PluginsLoad, "plugins.load", "Need not be there."),
    #[cfg(feature = "palm-server")]
    (
        File::Plugin(super::palm::FILE),
        "palm.conf",
        "The application server, `monkey palm`: see [PALM.md](PALM.md). `Key = value` at column 1 will do as well as the indented form.",
    ),
];

const HEAD: &str = include_str!("../../docs/configuration.head.md");

fn page() -> String {
    let mut page = String::from(HEAD);
    for &(file, name, what) in FILES {
        let _ = write!(page, "\n## {name}\n\n{what}\n");
        for section in file.sections() {
            write_section(&mut page, section);
        }
    }
    page.push_str(
        "\n## Plugins\n\nA section of a site that belongs to a plugin, and a line of `[HANDLERS]` that names one, is refused unless the plugin is built in. What a plugin reads of its own stands in `plugins/NAME/`; it need not be there.\n",
    );
    for plugin in PLUGINS {
        let described = |sections: &[Section]| sections.iter().any(|section| !section.doc.is_empty());
        if described(plugin.sections) {
            let _ = write!(page, "\n## plugins/{}/{}\n", plugin.name, plugin.file);
            plugin.sections.iter().for_each(|section| write_section(&mut page, section));
        }
        if described(plugin.site) {
            let _ = write!(page, "\n## {} in a site\n", plugin.name);
            plugin.site.iter().for_each(|section| write_section(&mut page, section));
        }
    }
    page
}

fn write_section(page: &mut String, section: &Section) {
    let required = match (section.required, section.many) {
        (true, _) => " Required.",
        (_, true) => " May be repeated; each section is one of its own.",
        _ => "",
    };
    let _ = write!(
        page,
        "\n### [{}]\n\n{}{required}\n\n| Key | Value | Default | Reload | Meaning |\n|---|---|---|---|---|\n",
        if section.name.is_empty() { "NAME" } else { section.name },
        section.doc
    );
    for key in section.keys.iter().chain(section.free) {
        let default = if key.default.is_empty() { String::new() } else { format!("`{}`", key.default) };
        let reload = if key.reload == Reload::InPlace { "yes" } else { "restart" };
        let _ = writeln!(
            page,
            "| `{}` | {} | {default} | {reload} | {}{} |",
            key.name,
            value(key),
            escaped(key.doc),
            marks(key)
        );
    }
}

fn marks(key: &Key) -> &'static str {
    match (key.required, key.many) {
        (true, _) => " Required.",
        (_, true) => " May be repeated.",
        _ => "",
    }
}

fn value(key: &Key) -> String {
    match key.kind {
        Kind::Text(what) | Kind::Words(what) => escaped(what),
        Kind::Number { min, max, unit } => format!("{min} to {max} {unit}").trim_end().into(),
        Kind::Switch => "On, Off".into(),
        Kind::Choice(words) => words.join(", "),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[test]
fn configuration_page_is_what_the_table_says() {
    // The page is that of the build that is shipped.
    if cfg!(not(all(feature = "default-plugins", feature = "palm-server"))) {
        return;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == page,
        "docs/CONFIGURATION.md is out of date: UPDATE_DOCS=1 cargo test --lib configuration_page"
    );
}

#[test]
fn every_active_key_is_described() {
    for &(file, _, _) in FILES {
        for section in file.known() {
            assert!(!section.doc.is_empty(), "[{}]", section.name);
            for key in section.keys {
                assert!(!key.doc.is_empty(), "[{}] {}", section.name, key.name);
            }
        }
    }
}
