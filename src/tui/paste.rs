//! Pastes: text for the field that has the focus, never keys. A field takes one only inside `Pasted`; everywhere else a
//! paste does nothing.

use cursive::event::{Event, EventResult};
use cursive::view::{View, ViewWrapper};

/// A text field that takes pastes.
pub struct Pasted<V> {
    field: V,
}

impl<V: View> Pasted<V> {
    pub fn new(field: V) -> Self {
        Pasted { field }
    }

    pub fn inner(&self) -> &V {
        &self.field
    }
}

impl<V: View> ViewWrapper for Pasted<V> {
    cursive::wrap_impl!(self.field: V);

    fn wrap_on_event(&mut self, event: Event) -> EventResult {
        let Event::Unknown(bytes) = event else { return self.field.on_event(event) };
        let mut result = EventResult::consumed();
        for c in text(&bytes).chars() {
            result = result.and(self.field.on_event(Event::Char(c)));
        }
        result
    }
}

/// What of a paste is text: line ends and tabs become spaces, so that nothing is submitted; other controls go, as does
/// what stands around it.
fn text(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let spaced = |c| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c };
    text.trim().chars().map(spaced).filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use cursive::views::EditView;

    #[test]
    fn a_paste_becomes_text_and_submits_nothing() {
        let field = EditView::new().on_submit(|_, _| panic!("submitted"));
        let mut field = Pasted::new(field);
        field.wrap_on_event(Event::Unknown(b"q\x1b[Aq\r\n127.0.0.1\n".to_vec()));
        assert_eq!(field.field.get_content().as_str(), "q[Aq  127.0.0.1");
    }
}
