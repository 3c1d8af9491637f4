//! The store on disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use networking_http::cache::CacheStatus::{Hit, Miss};
use networking_http::cache::{CacheConfig, CacheStore, DiskCacheStore};
use networking_runtime::clock::TokioClock;
use tempfile::TempDir;

use super::{Fixture, origin, wall};

const LIMIT: u64 = 1 << 20;

async fn open(directory: &Path) -> DiskCacheStore {
    DiskCacheStore::open(directory, LIMIT).await.unwrap()
}

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn records_survive_a_restart() {
    let dir = TempDir::new().unwrap();
    let answers = [("cache-control", "max-age=60")];
    for expected in [Miss, Hit] {
        let store = Arc::new(open(dir.path()).await);
        let fixture = Fixture::with_store(origin(200, &answers), CacheConfig::default(), store);
        assert_eq!(
            fixture.get(&[("authorization", "s3cr3t")]).await,
            (expected, "1".to_owned())
        );
    }
    for file in files(dir.path()) {
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert!(!text.contains("s3cr3t") && !text.contains("api.test"), "{text}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}

#[tokio::test]
async fn damaged_files_are_misses_and_are_removed() {
    let whole = Bytes::from(vec![7; 100]);
    for damage in [
        (|bytes: &mut Vec<u8>| bytes.clear()) as fn(&mut Vec<u8>),
        |bytes| bytes.truncate(10),
        |bytes| {
            bytes.pop();
        },
        |bytes| bytes.push(0),
        |bytes| bytes[60] ^= 1,
        |bytes| bytes[3] ^= 1,
        |bytes| bytes[9] ^= 1,
    ] {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path()).await;
        store.put("a", whole.clone()).await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), Some(whole.clone()));
        let file = files(dir.path()).pop().unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        damage(&mut bytes);
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(store.get("a").await.unwrap(), None);
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
        store.put("a", whole.clone()).await.unwrap();
        assert_eq!(store.get("a").await.unwrap(), Some(whole.clone()));
    }
}

#[tokio::test]
async fn keys_cannot_escape_the_directory() {
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("cache");
    let store = open(&inside).await;
    for key in ["../../x", "/etc/x", "", "a/b", "nul", "A", "a"] {
        store.put(key, Bytes::copy_from_slice(key.as_bytes())).await.unwrap();
    }
    for key in ["../../x", "/etc/x", "", "a/b", "nul", "A", "a"] {
        assert_eq!(store.get(key).await.unwrap().unwrap(), key, "{key:?}");
    }
    assert_eq!(files(dir.path()).len(), files(&inside).len());
    store.remove("A").await.unwrap();
    store.remove("never there").await.unwrap();
    assert_eq!(store.get("A").await.unwrap(), None);
    store.clear().await.unwrap();
    assert_eq!((files(dir.path()).len(), store.size()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_size_is_limited_and_the_least_recently_used_record_is_evicted() {
    let dir = TempDir::new().unwrap();
    let clock = Arc::new(TokioClock::starting_at(wall(0)));
    let store = DiskCacheStore::open_with_clock(dir.path(), LIMIT, clock).await.unwrap();
    let record = Bytes::from(vec![0; 60_000]);
    for number in 0..40 {
        store.put(&number.to_string(), record.clone()).await.unwrap();
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(store.get("0").await.unwrap().is_some(), "used after each put: {number}");
        let total: u64 = files(dir.path())
            .iter()
            .map(|file| file.metadata().unwrap().len())
            .sum();
        assert!(total <= LIMIT, "{total}");
    }
    assert!(store.get("1").await.unwrap().is_none());
    assert!(store.get("39").await.unwrap().is_some());
    store.put("0", Bytes::from(vec![0; 2 << 20])).await.unwrap();
    assert!(store.get("0").await.unwrap().is_none(), "larger than the limit");
}

#[tokio::test(start_paused = true)]
async fn unfinished_files_of_a_crash_are_removed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path()).await;
    store.put("a", Bytes::from_static(b"x")).await.unwrap();
    let unfinished = dir.path().join("responses-v1/unfinished/1-0");
    std::fs::write(&unfinished, b"half").unwrap();
    open(dir.path()).await;
    assert!(unfinished.exists(), "another store may be writing it");
    let tomorrow = std::fs::metadata(&unfinished).unwrap().modified().unwrap() + Duration::from_secs(86_400);
    let clock = Arc::new(TokioClock::starting_at(tomorrow));
    DiskCacheStore::open_with_clock(dir.path(), LIMIT, clock).await.unwrap();
    assert!(!unfinished.exists());
    assert!(store.get("a").await.unwrap().is_some());
}

/// The stores share no state, as in separate processes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_that_share_a_directory_see_whole_records() {
    let dir = TempDir::new().unwrap();
    let tasks: Vec<_> = (0..4u8)
        .map(|writer| {
            let path = dir.path().to_owned();
            tokio::spawn(async move {
                let store = open(&path).await;
                for round in 0..40usize {
                    let size = 20_000 + usize::from(writer) * 1_000 + round;
                    let key = (round % 5).to_string();
                    store.put(&key, Bytes::from(vec![writer; size])).await.unwrap();
                    if let Some(read) = store.get(&key).await.unwrap() {
                        assert!(read.iter().all(|byte| *byte == read[0]), "bytes of different records");
                        let of = usize::from(read[0]);
                        assert!((20_000 + of * 1_000..20_040 + of * 1_000).contains(&read.len()));
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let left = files(dir.path());
    assert_eq!(left.len(), 5, "{left:?}");
}

#[tokio::test]
async fn invalid_settings_name_their_field() {
    let dir = TempDir::new().unwrap();
    let error = DiskCacheStore::open(dir.path(), 100).await.unwrap_err();
    assert_eq!(error.field(), Some("max_bytes"));
    let file = dir.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let error = DiskCacheStore::open(file, LIMIT).await.unwrap_err();
    assert_eq!(error.field(), Some("directory"));
}
