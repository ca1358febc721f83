//! `cares restore`: makes the cluster's functions those of a backup, when it is certain. Must never send a file that is no
//! whole backup, nor restore without a yes.

use super::{Failure, Outcome, confirm, connect};
use crate::backup;
use crate::cli::Restore;
use crate::output;
use std::fs::File;
use std::io::{self, BufReader, Seek};

pub fn run(flags: &Restore) -> Outcome {
    let options = flags.client();
    let client = connect(&options)?;
    let restored = if flags.file == "-" {
        confirm(&options, &format!("Replace all functions of {} by those of the backup?", client.url()))?;
        client.restore(&mut io::stdin().lock(), None)?
    } else {
        let failed = |why: String| Failure::Here(format!("cannot restore {}: {why}", flags.file));
        let mut file = File::open(&flags.file).map_err(|e| failed(format!("{e}. Check its name")))?;
        let head = backup::read(BufReader::new(&file), |_| Ok(())).map_err(|e| failed(e.to_string()))?;
        let question = format!(
            "Replace all functions of {} by the {} of the backup of {}?",
            client.url(),
            head.functions,
            head.created_at
        );
        confirm(&options, &question)?;
        let len = file.metadata().and_then(|m| file.rewind().map(|()| m.len())).map_err(|e| failed(e.to_string()))?;
        client.restore(&mut file, Some(len))?
    };
    let line = format!(
        "restored {} functions and {} bundles of {}. Next: cares list",
        restored.functions, restored.bundles, restored.created_at
    );
    Ok(output::print_change(&options, &restored, &flags.file, &line)?)
}
