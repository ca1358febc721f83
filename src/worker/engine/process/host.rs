//! What this host lets the engine hold launches by, found once, and what of it a launch gets. Must never fail: what the
//! host has not is left out, and said.

use super::super::{EngineError, Kind, Launch};
use super::confine::{Confinement, Limits};
use crate::sandbox::cgroup::{Cgroup, Cgroups};
use crate::sandbox::landlock::Landlock;
use crate::sandbox::seccomp::Filter;
use crate::sandbox::view::{self, View};
use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of any one file, where temporary files are in memory anyway: what is inherited open is not.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Processes of the worker's user, launches and all else, where nothing counts a launch's own.
const MAX_USER_PROCESSES: u32 = 16_384;

/// What an engine can hold launches by.
pub struct Host {
    own: PathBuf,
    cgroups: Option<Cgroups>,
    landlock: Option<Landlock>,
    /// For launches that are users of their own, and for those that share the worker's: these could use its sockets.
    filters: [Option<Arc<Filter>>; 2],
    pub view: Option<View>,
}

impl Host {
    /// For the engine whose launches' folders are in `run`; `own` is this program. Blocks.
    pub fn find(run: &Path, own: PathBuf) -> Host {
        let view = view::may_be_made().then(|| View::make(run, &own));
        let view = view.and_then(|made| {
            made.inspect_err(|error| log::warn!("functions share the worker's user and its view of files: {error}"))
                .ok()
        });
        let filter = |local_sockets| Filter::new(local_sockets).map(Arc::new);
        Host {
            own,
            cgroups: Cgroups::open(run),
            landlock: Landlock::find(),
            filters: [filter(true), filter(false)],
            view,
        }
    }

    /// The view a launch of this bundle is in; `None`: the worker's own.
    pub fn view_for(&self, launch: &Launch, bundle: &Path) -> Option<&View> {
        self.view.as_ref().filter(|view| !launch.isolation.open_files && view.shows(bundle))
    }

    /// Where this program lies in that view.
    pub fn own<'a>(&'a self, view: Option<&'a View>) -> &'a Path {
        view.map_or(&self.own, View::own)
    }

    /// What holds the launch. The group must be kept until its end.
    pub fn hold(
        &self,
        launch: &Launch,
        view: Option<&View>,
        program: &Path,
        bundle: &Path,
        home: &Path,
        secrets: Option<&Path>,
    ) -> Result<(Confinement, Option<Cgroup>), EngineError> {
        let failed = |error: io::Error| {
            EngineError::Resources(format!("could not confine {}: {error}; see `cares doctor` on this node", launch.id))
        };
        let isolation = &launch.isolation;
        let group = self
            .cgroups
            .as_ref()
            .map(|groups| groups.make(&launch.id, launch.memory_bytes, launch.cpu, isolation.pids));
        let (group, cgroup) = group.transpose().map_err(failed)?.unzip();
        let memory_is_limited = self.cgroups.as_ref().is_some_and(Cgroups::limit_memory);
        let piped: &[i32] = if launch.kind == Kind::Job { &[0, 1, 2] } else { &[1, 2] };
        let files = self.landlock.as_ref().filter(|_| !isolation.open_files);
        // The same file under another name, which only the view has.
        let program = if view.is_some_and(|view| view.own() == program) { &self.own } else { program };
        let files = files.map(|landlock| {
            Ok((landlock.rules(program, bundle, secrets)?, CString::new(home.as_os_str().as_bytes())?))
        });
        let filter = self.filters[usize::from(view.is_none() && !isolation.open_files)].as_ref();
        let confinement = Confinement {
            limits: Limits::new(
                if view.is_some() { MAX_FILE_BYTES } else { isolation.tmp_bytes },
                launch.memory_bytes.filter(|_| !memory_is_limited),
                group.is_none().then_some(MAX_USER_PROCESSES),
            ),
            cgroup: cgroup.unwrap_or_default(),
            view: view.map(|view| view.entry(home, bundle, isolation.tmp_bytes, piped)).transpose().map_err(failed)?,
            files: files.transpose().map_err(failed)?,
            calls: filter.filter(|_| !isolation.all_syscalls).cloned(),
        };
        Ok((confinement, group))
    }
}
