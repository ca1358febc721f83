//! What opens over a screen: forms, questions, the command line, help, logs.

pub mod add;
pub mod answer;
pub mod ask;
mod calls;
pub mod command_line;
pub mod field;
pub mod form;
pub mod frame;
pub mod help;
pub mod invoke;
pub mod memory;
pub mod payload;
pub mod pipeline_ask;
mod pipelines;
mod rows;
pub mod run_task;
pub mod search;
mod sending;
pub mod sheet;
pub mod tail;
pub mod task_ask;
mod tasks;
pub mod verbs;
pub mod viewer;
