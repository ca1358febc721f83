use crate::bundle::BundleError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
pub struct BundleCache;
pub struct Unpacked(Arc<PathBuf>);
impl Unpacked {
    pub fn path(&self) -> &Path {
        &self.0
    }
}
impl BundleCache {
    pub fn open(_: PathBuf) -> Result<Self, BundleError> {
        todo!()
    }
    pub async fn get<F, Fut>(&self, _d: &str, _f: F) -> Result<Unpacked, BundleError>
    where
        F: FnOnce(PathBuf) -> Fut + Send,
        Fut: Future<Output = Result<(), String>> + Send,
    {
        todo!()
    }
}
