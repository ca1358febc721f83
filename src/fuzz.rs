//! The parsers we own, each as a function of bytes that panics when a promise is broken: for `tests/fuzz`, and for the
//! tests below, which replay its corpus and inputs by chance. In no other build.

mod cron;
mod lies;
mod words;

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. A new parser gets its line here, and a folder of inputs in `tests/fuzz/corpus`.
pub const TARGETS: &[Target] = &[
    ("backup", crate::backup::fuzz::read),
    ("bundle", crate::bundle::fuzz::zip),
    ("certificates", crate::tls::fuzz::read),
    ("cron", cron::run),
    ("docker-answers", crate::worker::fuzz::docker_answers),
    ("docker-archive", crate::worker::fuzz::docker_archive),
    ("docker-frames", crate::worker::fuzz::docker_frames),
    ("headers", crate::auth::fuzz::headers),
    ("jwt", crate::auth::fuzz::jwt),
    ("keys", crate::tui::fuzz::keys),
    ("lies", lies::run),
    ("lines", crate::worker::fuzz::lines),
    ("link", crate::link::fuzz::pieces),
    ("manifest", crate::orchestrator::fuzz::manifest),
    ("multipart", crate::http::multipart::fuzz),
    ("names", words::names),
    ("query", crate::http::fuzz::query),
    ("settings", words::settings),
    ("sse", crate::client::fuzz::sse),
    ("task-files", crate::worker::fuzz::task_files),
    ("urls", crate::client::fuzz::urls),
    ("words", words::command_line),
];

/// What begins with a byte that says how the rest is cut up, cut up: a parser must not care.
pub(crate) fn cut(data: &[u8]) -> Option<(&[u8], std::slice::Chunks<'_, u8>)> {
    let (size, whole) = data.split_first()?;
    Some((whole, whole.chunks(usize::from(*size).max(1))))
}

#[cfg(test)]
mod tests;
