//! What screens are made of: where panes stand, their frames, and what is in them, be it a table, lines or a log. Must never
//! know what rows mean.

pub mod border;
pub mod columns;
pub mod layout;
pub mod lines;
pub mod order;
pub mod pane;
pub mod rows;
pub mod table;
