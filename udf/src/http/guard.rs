//! Which addresses a function's URL may lead to. Checked where names become addresses, so that no name leads around it,
//! also when its address changes later.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// A name's addresses, when they are known.
type Found = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Turns a name into addresses.
pub(super) type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// The system's own.
pub(super) fn system() -> Lookup {
    Arc::new(|name| Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) }))
}

/// An address that events must not be sent to.
#[derive(Debug)]
pub(super) struct RefusedAddress;

impl fmt::Display for RefusedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the address is link-local or a cloud's metadata service, where machines keep credentials")
    }
}

impl StdError for RefusedAddress {}

/// Resolves names, without the addresses that are refused.
pub(super) struct Guard {
    pub(super) lookup: Lookup,
    pub(super) allow_link_local: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (self.lookup)(name.as_str().to_owned());
        let all = self.allow_link_local;
        Box::pin(async move {
            let found = found.await?;
            let count = found.len();
            let allowed: Vec<_> = found.into_iter().filter(|address| all || !is_refused(address.ip())).collect();
            if allowed.is_empty() && count > 0 {
                return Err(RefusedAddress.into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// A host that is an address is never resolved, so it is checked here.
pub(super) fn check(url: &Url) -> Result<(), RefusedAddress> {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse() {
        Ok(address) if is_refused(address) => Err(RefusedAddress),
        _ => Ok(()),
    }
}

fn is_refused(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_refused_v4(address),
        IpAddr::V6(address) => is_refused_v6(address),
    }
}

fn is_refused_v4(address: Ipv4Addr) -> bool {
    const METADATA: [Ipv4Addr; 3] = [
        Ipv4Addr::new(100, 100, 100, 200), // Alibaba
        Ipv4Addr::new(168, 63, 129, 16),   // Azure
        Ipv4Addr::new(192, 0, 0, 192),     // Oracle
    ];
    address.is_link_local() || METADATA.contains(&address)
}

fn is_refused_v6(address: Ipv6Addr) -> bool {
    const METADATA: [Ipv6Addr; 2] = [
        Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), // AWS
        Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),  // Google
    ];
    let [.., a, b, c, d] = address.octets();
    // IPv4 addresses as IPv6 ones, mapped or translated by NAT64.
    let holds_v4 = matches!(address.segments(), [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..]);
    let inner = holds_v4 && is_refused_v4(Ipv4Addr::new(a, b, c, d));
    address.is_unicast_link_local() || METADATA.contains(&address) || inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_where_credentials_are() {
        for refused in [
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fe80::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(is_refused(refused.parse().unwrap()), "{refused}");
        }
        for allowed in ["127.0.0.1", "::1", "10.0.0.1", "100.100.100.201", "fd00::1", "::ffff:10.0.0.1"] {
            assert!(!is_refused(allowed.parse().unwrap()), "{allowed}");
        }
    }

    #[test]
    fn addresses_in_disguise() {
        for url in ["http://0xa9fea9fe/", "http://2852039166/", "http://[::ffff:a9fe:a9fe]:80/"] {
            assert!(check(&Url::parse(url).unwrap()).is_err(), "{url}");
        }
        assert!(check(&Url::parse("http://127.0.0.1/").unwrap()).is_ok());
    }
}
