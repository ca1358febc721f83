//! The cache, over real folders.

use super::*;
use futures_lite::future::{block_on, poll_once, zip};
use std::io::Cursor;
use std::sync::atomic::AtomicUsize;
use tempfile::TempDir;

struct Bench {
    dir: TempDir,
    fetched: AtomicUsize,
}

impl Bench {
    fn new() -> Bench {
        Bench { dir: TempDir::new().unwrap(), fetched: AtomicUsize::new(0) }
    }

    fn open(&self, max_bytes: u64) -> BundleCache {
        block_on(BundleCache::open_with(self.dir.path().join("cache"), max_bytes)).unwrap()
    }

    async fn fetch(&self, to: PathBuf, zip: Vec<u8>) -> Result<(), String> {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        rt::unblock(move || fs::write(to, zip).map_err(|error| error.to_string())).await
    }

    fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }

    fn get(&self, cache: &BundleCache, (digest, zip): &(String, Vec<u8>)) -> Arc<Unpacked> {
        block_on(cache.get(digest, |to| self.fetch(to, zip.clone()))).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path().join("cache")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Waits until nothing temporary is left.
    fn settle(&self) {
        let begun = std::time::Instant::now();
        while self.names().iter().any(|name| name.starts_with('.')) {
            assert!(begun.elapsed().as_secs() < 60, "{:?}", self.names());
            std::thread::yield_now();
        }
    }
}

/// A bundle of 1,000 bytes that differs by `n`.
fn bundle_of(n: u8) -> (String, Vec<u8>) {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("f"), [n; 1_000]).unwrap();
    let mut zip = Cursor::new(Vec::new());
    bundle::pack(dir.path(), &crate::ignore::Ignore::default(), &mut zip).unwrap();
    let file = dir.path().join("zip");
    fs::write(&file, zip.get_ref()).unwrap();
    (bundle::digest_of(&file).unwrap(), zip.into_inner())
}

#[test]
fn one_is_fetched_once_and_found_after_a_restart() {
    let bench = Bench::new();
    let one = bundle_of(1);
    let cache = bench.open(u64::MAX);
    let unpacked = bench.get(&cache, &one);
    fn may_run_anywhere(_: impl Send) {}
    may_run_anywhere(cache.get(&one.0, |_| async { Ok(()) }));
    assert_eq!(fs::read(unpacked.path.join("f")).unwrap(), [1; 1_000]);
    assert_eq!((unpacked.bytes, bench.get(&cache, &one).path.clone()), (1_000, unpacked.path.clone()));
    bench.settle();
    fs::write(bench.dir.path().join("cache/.half.0.zip"), "x").unwrap();
    fs::create_dir_all(bench.dir.path().join("cache/.half.1.part/x")).unwrap();
    let cache = bench.open(u64::MAX);
    assert_eq!((bench.get(&cache, &one).path.clone(), cache.bytes()), (unpacked.path.clone(), 1_000));
    assert_eq!((bench.fetched(), bench.names()), (1, vec![one.0]));
}

#[test]
fn all_who_ask_share_one_fetch_and_its_error() {
    let bench = Bench::new();
    let (digest, zip_bytes) = bundle_of(1);
    let cache = bench.open(u64::MAX);
    let (go, gate) = rt::bounded::<()>(1);
    let fail = |_: PathBuf| async {
        let _ = gate.recv().await;
        Err("no way".to_owned())
    };
    let never = |_: PathBuf| async { panic!("only the first fetches") };
    let mut both = Box::pin(zip(cache.get(&digest, fail), cache.get(&digest, never)));
    assert!(block_on(poll_once(&mut both)).is_none());
    drop(go);
    let (one, two) = block_on(both);
    let told = format!("could not fetch bundle {digest}: no way");
    assert_eq!([one.unwrap_err().to_string(), two.unwrap_err().to_string()], [told.clone(), told]);

    let all: Vec<_> = std::thread::scope(|scope| {
        let ask = || block_on(cache.get(&digest, |to| bench.fetch(to, zip_bytes.clone()))).unwrap();
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|unpacked| Arc::ptr_eq(unpacked, &all[0])));
    assert_eq!(bench.fetched(), 1);
    bench.settle();
}

#[test]
fn when_the_fetcher_goes_away_another_fetches() {
    let bench = Bench::new();
    let one = bundle_of(1);
    let cache = bench.open(u64::MAX);
    let mut first = Box::pin(cache.get(&one.0, |_| std::future::pending()));
    assert!(block_on(poll_once(&mut first)).is_none());
    let mut second = Box::pin(cache.get(&one.0, |to| bench.fetch(to, one.1.clone())));
    assert!(block_on(poll_once(&mut second)).is_none());
    drop(first);
    block_on(second).unwrap();
    assert_eq!(bench.fetched(), 1);
    bench.settle();
}

#[test]
fn what_is_wrong_is_not_kept() {
    let bench = Bench::new();
    let (one, two) = (bundle_of(1), bundle_of(2));
    let cache = bench.open(u64::MAX);
    let error = block_on(cache.get(&one.0, |to| bench.fetch(to, two.1.clone()))).unwrap_err();
    assert!(matches!(error, BundleError::WrongDigest { wanted, got } if wanted == one.0 && got == two.0));
    let garbage = bench.dir.path().join("garbage");
    fs::write(&garbage, "no zip").unwrap();
    let digest = bundle::digest_of(&garbage).unwrap();
    let error = block_on(cache.get(&digest, |to| bench.fetch(to, b"no zip".to_vec()))).unwrap_err();
    assert!(matches!(error, BundleError::NotAZip(_)), "{error}");
    let error = block_on(cache.get("../../etc", |to| bench.fetch(to, vec![]))).unwrap_err();
    assert!(matches!(error, BundleError::NotADigest(_)), "{error}");
    bench.settle();
    assert!(bench.names().is_empty() && cache.bytes() == 0);
}

#[test]
fn the_one_used_longest_ago_goes_first_but_none_in_use() {
    let bench = Bench::new();
    let bundles: Vec<_> = (0..5).map(bundle_of).collect();
    let cache = bench.open(3_000);
    let held = bench.get(&cache, &bundles[0]);
    bench.get(&cache, &bundles[1]);
    bench.get(&cache, &bundles[2]);
    bench.get(&cache, &bundles[1]);
    bench.get(&cache, &bundles[3]);
    bench.settle();
    let kept = |n: usize| bench.names().contains(&bundles[n].0);
    assert_eq!([0, 1, 2, 3].map(kept), [true, true, false, true]);
    let all: Vec<_> = bundles.iter().map(|bundle| bench.get(&cache, bundle)).collect();
    assert_eq!(cache.bytes(), 5_000, "what is in use is kept, even beyond the limit");
    assert!(all.iter().all(|unpacked| unpacked.path.is_dir()));
    drop((all, held));
    drop(bench.open(3_000));
    assert_eq!(bench.names().len(), 3);
}
