//! How much one client may ask of an Ingress: requests in a time, and connections at once.

use super::settings::Limits;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// Clients that are remembered; beyond it, those that are owed nothing are forgotten.
const CLIENTS: usize = 20_000;
/// How many times the rate may come at once where nothing is said.
const BURST: u32 = 5;

/// Whom to count: the Ingress as `namespace/name`, and the client.
type Who = (Arc<str>, IpAddr);

/// What clients have asked lately.
#[derive(Default)]
pub struct Clients {
    rates: Mutex<HashMap<(Who, Rate), Bucket>>,
    open: Arc<Mutex<HashMap<Who, u32>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Rate {
    Second,
    Minute,
}

/// How much has run in and not out yet.
struct Bucket {
    level: f64,
    at: Instant,
}

/// What was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exceeded {
    Rate,
    Connections,
}

/// A request that counts as open until this is dropped.
pub struct Open {
    who: Who,
    all: Arc<Mutex<HashMap<Who, u32>>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(count) = all.get_mut(&self.who) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.who);
            }
        }
    }
}

impl Clients {
    /// Counts a request of a client.
    pub fn enter(&self, ingress: &Arc<str>, client: IpAddr, limits: &Limits) -> Result<Option<Open>, Exceeded> {
        if limits.free.as_ref().is_some_and(|free| free.hold(client)) {
            return Ok(None);
        }
        let who = (ingress.clone(), client);
        let open = limits.connections.filter(|most| *most > 0).map(|most| self.open(who.clone(), most)).transpose()?;
        let burst = limits.burst.unwrap_or(BURST).max(1);
        let rates = [(Rate::Minute, limits.per_minute, 60.0), (Rate::Second, limits.per_second, 1.0)];
        for (rate, most, seconds) in rates {
            if let Some(most) = most.filter(|most| *most > 0) {
                let bucket = ((who.clone(), rate), f64::from(most) / seconds, f64::from(most) * f64::from(burst));
                self.pour(bucket.0, bucket.1, bucket.2, Instant::now())?;
            }
        }
        Ok(open)
    }

    fn open(&self, who: Who, most: u32) -> Result<Open, Exceeded> {
        let mut all = self.open.lock();
        let count = all.entry(who.clone()).or_default();
        if *count >= most {
            return Err(Exceeded::Connections);
        }
        *count += 1;
        Ok(Open { who, all: self.open.clone() })
    }

    /// One more in a bucket that `per_second` runs out of; refused if that is more than the burst beside the one in turn.
    fn pour(&self, key: (Who, Rate), per_second: f64, burst: f64, now: Instant) -> Result<(), Exceeded> {
        let mut rates = self.rates.lock();
        if rates.len() >= CLIENTS {
            rates.retain(|_, bucket| bucket.level - now.duration_since(bucket.at).as_secs_f64() * per_second > 0.0);
        }
        let bucket = rates.entry(key).or_insert(Bucket { level: 0.0, at: now });
        let level = (bucket.level - now.duration_since(bucket.at).as_secs_f64() * per_second).max(0.0);
        *bucket = Bucket { level, at: now };
        if level > burst {
            return Err(Exceeded::Rate);
        }
        bucket.level += 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_served_and_then_the_rate() {
        let (clients, name) = (Clients::default(), Arc::from("default/x"));
        let limits = Limits { per_second: Some(2), burst: Some(2), ..Limits::default() };
        let served = |most: usize| (0..most).filter(|_| clients.enter(&name, CLIENT, &limits).is_ok()).count();
        // nginx serves the one in turn and as many more as the burst.
        assert_eq!(served(20), 5);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(served(20), 2);
        let other = "10.0.0.2".parse().unwrap();
        assert!(clients.enter(&name, other, &limits).is_ok(), "another client has its own");
    }

    #[test]
    fn open_requests_are_counted_until_they_are_over() {
        let (clients, name) = (Clients::default(), Arc::from("default/x"));
        let limits = Limits { connections: Some(1), ..Limits::default() };
        let first = clients.enter(&name, CLIENT, &limits).unwrap();
        assert!(first.is_some());
        assert_eq!(clients.enter(&name, CLIENT, &limits).err(), Some(Exceeded::Connections));
        drop(first);
        assert!(clients.enter(&name, CLIENT, &limits).is_ok());
        assert!(clients.open.lock().is_empty());
        let free = Limits { free: Some(super::super::access::Ranges::parse("10.0.0.0/8").unwrap()), ..limits };
        assert!((0..9).all(|_| clients.enter(&name, CLIENT, &free).is_ok()));
    }
}
