//! What people and bad luck do to a cluster.

use super::super::tests::http;
use super::super::*;
use super::workers::Order;
use super::world::{Happening, World};
use crate::dice::Dice;

impl World {
    pub fn chaos(&mut self) -> Result<(), String> {
        match self.dice.between(0, 99) {
            0..37 => self.invoke(),
            37 => self.rare(),
            38..45 => self.task_chaos(),
            45..50 => (0..self.dice.between(2, 12)).try_for_each(|_| self.invoke()),
            50..54 => self.put(),
            54..57 => self.revise(),
            57 => {
                let name = self.function_name().as_str().into();
                self.core(None, Command::DeleteFunction { name })
            }
            58..68 => self.operate(),
            68..92 if self.dice.percent(self.troubled) => self.trouble(),
            92..96 => self.nonsense(),
            96 if self.dice.percent(30) => {
                self.restart();
                Ok(())
            }
            96..98 => self.crash_instance(),
            _ => self.invoke(),
        }
    }

    pub fn function_name(&mut self) -> String {
        format!("f{}", self.dice.one_of(&[0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4]))
    }

    fn invoke(&mut self) -> Result<(), String> {
        let mut function = self.function_name().as_str().into();
        let known: Vec<Arc<str>> = self.puts.keys().cloned().collect();
        if !known.is_empty() && self.dice.percent(90) {
            function = self.dice.one_of(&known);
        }
        let wants = self.dice.percent(8).then(|| {
            let tags = self.dice.one_of(&[None, Some("a"), Some("b")]).map(|zone| ("zone".into(), zone.into()));
            let (tags, takes_inputs) = (tags.into_iter().collect(), self.dice.percent(50));
            Arc::new(Constraints { tags, takes_inputs, ..Constraints::default() })
        });
        self.core(None, Command::Invoke { function, origin: Origin::Caller, wants })
    }

    fn put(&mut self) -> Result<(), String> {
        self.put_count += 1;
        let mut constraints = Constraints::default();
        if self.dice.percent(15) {
            constraints.arch = Some(self.dice.one_of(&["x86_64", "aarch64", "riscv64"]).into());
        }
        if self.dice.percent(15) {
            constraints.tags.insert("zone".into(), self.dice.one_of(&["a", "b"]).into());
        }
        let revision = Box::new(Revision {
            function: self.function_name().as_str().into(),
            image: match self.dice.between(0, 19) {
                0 => "".into(),
                1 => "http://there/".into(),
                _ => self.dice.one_of(&["bundle:abc", "bundle:abc", "registry/image:1"]).into(),
            },
            calls_at_once: self.dice.one_of(&[0, 0, 0, 0, 2, 8]),
            mode: self.dice.one_of(&[Mode::Http, Mode::Http, Mode::Http, Mode::Job, Mode::Auto]),
            memory_bytes: self.dice.one_of(&[0, 1 << 20, 64 << 30]) * u64::from(self.dice.percent(10)),
            cpu: self.dice.one_of(&[0.0, 0.0, 0.0, 1.0, f64::NAN]),
            concurrency: self.dice.one_of(&[0, 1, 1, 2, 4, 16]),
            min: self.dice.one_of(&[0, 0, 0, 1, 2, 7]),
            ready: self.dice.one_of(&[0, 0, 0, 1, 3]),
            freeze_ms: self.dice.one_of(&[0, 50, 500, 5_000, 60_000]),
            max: self.dice.one_of(&[0, 1, 1, 1, 2, 3, 5]),
            idle_ms: self.dice.one_of(&[0, 200, 2_000, 10_000]),
            constraints,
            description: format!("put {}", self.put_count),
            ..http("")
        });
        let revision = match self.dice.percent(20) {
            true => Box::new(Revision { image: "registry/image:2".into(), mode: Mode::Auto, max: 3, ..*revision }),
            false => revision,
        };
        let put = self.dice.one_of(&[Put::Any, Put::Any, Put::Create, Put::Create, Put::Replace]);
        self.core(None, Command::PutFunction { revision, put })
    }

    /// The same function, but otherwise: bounds, or a revision of before.
    fn revise(&mut self) -> Result<(), String> {
        let known: Vec<Arc<str>> = self.puts.keys().cloned().collect();
        let function = if known.is_empty() { "f0".into() } else { self.dice.one_of(&known) };
        let bound = |dice: &mut Dice| dice.one_of(&[None, Some(0), Some(1), Some(2), Some(4)]);
        let command = match self.dice.between(0, 5) {
            // What sleeps is rare, and this wakes it.
            0..3 if let Some(function) = self.asleep() => {
                Command::Scale { function, min: Some(self.dice.one_of(&[1, 2])), max: None, ready: None }
            }
            5 => Command::SetStopped { function, stopped: self.dice.percent(20) },
            0 | 1 => {
                let [min, max, ready] = [(); 3].map(|()| bound(&mut self.dice));
                Command::Scale { function, min, max, ready }
            }
            _ => {
                let number = self.dice.between(0, 6);
                let which = self.dice.one_of(&[Kept::Newest, Kept::AsItIs, Kept::Before, Kept::Number(number)]);
                Command::PutAgain { function, which, unix_ms: 0, by: String::new() }
            }
        };
        self.core(None, command)
    }

    /// A function with a frozen instance.
    fn asleep(&self) -> Option<Arc<str>> {
        let sleeps =
            |f: &&Function| self.cluster.instances_by_state(f).iter().any(|(state, n)| *state == "frozen" && *n > 0);
        self.cluster.functions().find(sleeps).map(|f| f.name.clone())
    }

    fn some_node(&mut self) -> NodeKey {
        let known: Vec<NodeKey> = self.cluster.nodes().map(|n| n.key).chain([NodeKey(u64::MAX)]).collect();
        self.dice.one_of(&known)
    }

    fn operate(&mut self) -> Result<(), String> {
        let node = self.some_node();
        let command = match self.dice.between(0, 9) {
            7 => return self.engines(node),
            8.. => return self.resolve(),
            0 => Command::Cordon { node },
            1 => Command::Drain { node },
            2..5 => Command::Uncordon { node },
            _ => Command::RemoveNode { node },
        };
        self.core(None, command)
    }

    /// A node's container engine comes or goes.
    fn engines(&mut self, node: NodeKey) -> Result<(), String> {
        let session = self.cluster.node(node).map_or(0, |n| n.session);
        let names: &[&str] = self.dice.one_of(&[&["process"], &["process", "docker"]]);
        let engines: std::collections::BTreeSet<String> = names.iter().map(ToString::to_string).collect();
        let there = self.cluster.node(node).is_some_and(|n| n.status != NodeStatus::Disconnected);
        if let Some(worker) = self.by_node.get(&node).filter(|_| there) {
            self.workers[*worker].spec.engines = engines.clone();
        }
        self.core(None, Command::SetEngines { node, session, engines, trouble: String::new() })
    }

    /// Someone has looked at an image, perhaps of a revision that is current no more.
    fn resolve(&mut self) -> Result<(), String> {
        let puts: Vec<(Arc<str>, u64)> = self.puts.iter().map(|(name, number)| (name.clone(), *number)).collect();
        if puts.is_empty() {
            return Ok(());
        }
        let (function, revision) = self.dice.one_of(&puts);
        let mode = self.dice.one_of(&[Mode::Http, Mode::Job]);
        self.core(None, Command::ResolveMode { function, revision, mode })
    }

    fn trouble(&mut self) -> Result<(), String> {
        let worker = self.dice.between(0, self.workers.len() as u64 - 1) as usize;
        let (spec, life) = (self.workers[worker].spec.clone(), self.workers[worker].life);
        let w = &mut self.workers[worker];
        let session = w.session;
        let closed = |why: &str| session.map(|(node, session)| Command::Disconnect { node, session, why: why.into() });
        if !w.up {
            if self.dice.percent(20) {
                self.workers[worker].spec = self.spec(format!("id{}", 100 + self.step), spec.name); // its disk is new
                self.workers[worker].tasks.clear();
            } else if self.dice.percent(30) {
                let again = self.spec(spec.id, spec.name); // set up otherwise, but the same program
                let (http, version, secrets) = (spec.http, spec.version, spec.secrets);
                self.workers[worker].spec = NodeSpec { http, version, secrets, digest: spec.digest, ..again };
            }
            self.start_worker(worker);
            return Ok(());
        }
        if w.cut || w.hung {
            (w.cut, w.hung) = (false, false);
            return Ok(());
        }
        match self.dice.between(0, 9) {
            0 | 1 => {
                self.kill_worker(worker);
                if let Some(command) = closed("connection reset").filter(|_| self.dice.percent(70)) {
                    self.at(10, Happening::Core { from: None, command });
                }
            }
            2 => w.hung = true,
            3 => w.cut = true,
            4 => {
                if let Some((node, session)) = session {
                    w.leaving = true;
                    self.tell_core(worker, Command::Leave { node, session });
                }
            }
            5 => {
                if let (Some(command), Some((_, session))) = (closed("connection reset"), session) {
                    self.at(5, Happening::Core { from: None, command });
                    self.at(10, Happening::Worker(worker, Order::Rejoin { session }));
                }
            }
            6 | 7 => {
                if let Some((node, session)) = session {
                    self.tell_core(worker, Command::SetReach { node, session, reach: Reach::None });
                }
            }
            8 => {
                w.session = None; // joins again over a session that has not ended
                self.at(1, Happening::Join { worker, life });
            }
            _ => {
                let name = format!("w{}", self.dice.between(0, 5)); // may be another's
                self.workers[worker].spec.name = name;
            }
        }
        Ok(())
    }

    fn crash_instance(&mut self) -> Result<(), String> {
        let worker = self.dice.between(0, self.workers.len() as u64 - 1) as usize;
        let Some(instance) = self.workers[worker].instances.keys().next().copied() else { return Ok(()) };
        self.workers[worker].instances.remove(&instance);
        self.tell_core(worker, Command::InstanceEnded { instance, why: "exit code 139".into() });
        Ok(())
    }

    /// Commands about things that are not, or not so any more.
    fn nonsense(&mut self) -> Result<(), String> {
        let (low, high) = (self.first_key, self.cluster.next_key + 3);
        let (key, node, session) = (self.dice.between(low, high), self.some_node(), self.dice.between(0, high));
        let current = self.cluster.node(node).is_some_and(|n| n.session == session);
        let command = match self.dice.between(0, 4) {
            0 if !current => Command::Beat { node, session, cpu_percent: Some(0.0), memory_percent: None },
            1 if !current => Command::Disconnect { node, session, why: "late".into() },
            2 => Command::InstanceReady { instance: InstanceKey(key) },
            3 => Command::InstanceEnded { instance: InstanceKey(key), why: "late".into() },
            _ if !self.calls.contains_key(&InvocationKey(key)) => {
                Command::Refuse { invocation: InvocationKey(key), why: "late".into() }
            }
            _ => Command::Finish { invocation: InvocationKey(key), success: true, took_us: 0 },
        };
        self.core(None, command)
    }

    /// Everything is up and in reach from now on, and nobody asks for more.
    pub fn heal(&mut self) -> Result<(), String> {
        self.note(|| "all is well from here".into());
        self.lose_messages();
        (self.healed, self.suspended) = (true, 0);
        self.disk_tried()?;
        for worker in 0..self.workers.len() {
            let w = &mut self.workers[worker];
            (w.cut, w.hides) = (false, false);
            w.spec.name = format!("healed{worker}");
            self.start_worker(worker);
        }
        let cordoned: Vec<NodeKey> = self.cluster.nodes().filter(|n| n.cordoned).map(|n| n.key).collect();
        for node in cordoned {
            if self.dice.percent(80) {
                self.core(None, Command::Uncordon { node })?;
            }
        }
        Ok(())
    }
}
