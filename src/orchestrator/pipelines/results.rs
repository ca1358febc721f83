//! What modules answered that another depends on, as that one is given it: as much as fits, and of the rest where it is.
//! Never holds more of one than all together may have.

use super::plan::Plan;
use crate::body;
use crate::cluster::pipeline::PipelineKey;
use crate::modules::payload;
use crate::orchestrator::Orchestrator;
use std::collections::BTreeMap;

/// All that one is given, as JSON: one variable of a program may have 128 KiB.
pub const BYTES: usize = 96 * 1024;
/// The same in a header of a request: what common servers take, beside all else.
pub const HEADER_BYTES: usize = 4 * 1024;
const REFERENCE: &str = "reference";

/// By the module's name.
pub type Named = BTreeMap<String, String>;

/// What modules answered, by the order they are named in.
#[derive(Default)]
pub struct Results(Vec<Answered>);

struct Answered {
    module: String,
    /// As text, and how that is written where it is not plain; `None`: too large for anybody.
    text: Option<(String, Option<String>)>,
    path: String,
}

impl Results {
    /// # Errors
    /// Which is not there.
    pub async fn read(app: &Orchestrator, key: PipelineKey, plan: &Plan, of: &[usize]) -> Result<Results, String> {
        let mut all = Vec::new();
        for index in of {
            let module = plan.spec.modules[*index].name.clone();
            let answer = app.pipelines.result(key, *index).await?;
            let answer = answer.ok_or_else(|| format!("the result of '{module}' is not there"))?.into_body();
            let held = body::collect(answer, BYTES).await.ok();
            let path = format!("/api/pipelines/{key}/modules/{module}/result");
            all.push(Answered { text: held.map(|held| payload::encode(&held)), module, path });
        }
        Ok(Results(all))
    }

    /// As a JSON object of at most so many bytes, and one of how that is written where it is not plain text: `base64` or
    /// `reference`. `None`: not even what tells where they are fits.
    pub fn within(&self, bytes: usize) -> Option<(Named, Named)> {
        let size = |module: &str, text: &str| ascii(&[(module, text)].into_iter().collect()).len();
        let mut used: usize = self.0.iter().map(|a| size(&a.module, &a.path)).sum();
        if used > bytes {
            return None;
        }
        let (mut results, mut forms) = (Named::new(), Named::new());
        for Answered { module, text, path } in &self.0 {
            let reference = size(module, path);
            let fits = |(text, _): &&(String, _)| text.len() <= bytes && used - reference + size(module, text) <= bytes;
            let (text, form) = match text.as_ref().filter(fits) {
                Some((text, form)) => {
                    used = used - reference + size(module, text);
                    (text, form.as_deref())
                }
                None => (path, Some(REFERENCE)),
            };
            results.insert(module.clone(), text.clone());
            forms.extend(form.map(|form| (module.clone(), form.to_string())));
        }
        Some((results, forms))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// JSON that a header takes: all beyond ASCII escaped.
pub fn ascii(named: &BTreeMap<impl serde::Serialize + Ord, impl serde::Serialize>) -> String {
    let text = serde_json::to_string(named).unwrap_or_default(); // keys are text: cannot fail
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => plain.push(c),
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| plain.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(all: &[(&str, Option<&str>)]) -> Results {
        let answered = |(module, text): &(&str, Option<&str>)| Answered {
            module: module.to_string(),
            text: text.map(|text| (text.to_string(), None)),
            path: format!("/{module}"),
        };
        Results(all.iter().map(answered).collect())
    }

    #[test]
    fn as_much_as_fits_is_given_and_of_the_rest_where_it_is() {
        let long = "x".repeat(50);
        let all = results(&[("a", Some("short")), ("b", Some(&long)), ("c", None), ("d", Some("ä\u{1f600}\u{7f}\n"))]);
        let (given, forms) = all.within(1_000).expect("it fits");
        assert_eq!((given["a"].as_str(), given["b"].len(), given["c"].as_str()), ("short", 50, "/c"));
        assert_eq!(forms, [("c".to_string(), "reference".to_string())].into());
        let (given, forms) = all.within(80).expect("most of it fits");
        assert_eq!((given["b"].as_str(), forms.len()), ("/b", 2));
        assert!(ascii(&given).len() <= 80);
        let text = ascii(&given);
        assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{text}");
        assert_eq!(serde_json::from_str::<Named>(&text).expect("JSON"), given);
        assert!(all.within(20).is_none());
        assert!(Results::default().within(0).is_some_and(|(given, _)| given.is_empty()));
    }
}
