//! URLs, addresses and networks: `url(self.at).getHost()`, `cidr("10.0.0.0/8").containsIP(self.ip)`.
//!
//! Source: k8s.io/apiserver `pkg/cel/library/{urls,ip,cidr}.go`.

use super::library::{given, member, text, values};
use cel::common::types::{DYN_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::objects::{Key, Map, Opaque};
use cel::{DeclarationError, Env, ExecutionError, Value};
use http::Uri;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What can be looked at of an address on the net.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Net {
    Url(Uri),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
}

impl Opaque for Net {
    fn runtime_type_name(&self) -> &str {
        match self {
            Net::Url(_) => "kubernetes.URL",
            Net::Ip(_) => "net.IP",
            Net::Cidr(..) => "net.CIDR",
        }
    }
}

/// Declares the functions.
pub fn add(env: &mut Env) -> Result<(), DeclarationError> {
    let one = || vec![STRING_TYPE];
    env.add_overload("url", "string_to_url", one(), url)?;
    env.add_overload("isURL", "is_url_string", one(), is_url)?;
    env.add_overload("ip", "string_to_ip", one(), ip)?;
    env.add_overload("isIP", "is_ip_string", one(), is_ip)?;
    env.add_overload("cidr", "string_to_cidr", one(), cidr)?;
    env.add_overload("isCIDR", "is_cidr_string", one(), is_cidr)?;
    for (name, function) in [
        ("getScheme", scheme as cel::common::functions::Function),
        ("getHost", host),
        ("getHostname", host_name),
        ("getPort", port),
        ("getEscapedPath", path),
        ("getQuery", query),
        ("family", family),
        ("isLoopback", is_loopback),
        ("isUnspecified", is_unspecified),
        ("prefixLength", prefix),
    ] {
        member(env, name, DYN_TYPE, vec![], function)?;
    }
    member(env, "containsIP", DYN_TYPE, vec![DYN_TYPE], contains_ip)?;
    member(env, "containsCIDR", DYN_TYPE, vec![DYN_TYPE], contains_cidr)
}

fn parse_url(text: &str) -> Option<Net> {
    // A reference is either whole, or a path from the root.
    let uri: Uri = text.parse().ok()?;
    (uri.scheme().is_some() || text.starts_with('/')).then_some(Net::Url(uri))
}

fn parse_ip(text: &str) -> Option<Net> {
    text.parse().ok().map(Net::Ip)
}

fn parse_cidr(text: &str) -> Option<Net> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    let most = if address.is_ipv4() { 32 } else { 128 };
    (bits <= most).then_some(Net::Cidr(address, bits))
}

fn made<'b, 'v>(
    arguments: &[CowVal],
    what: &str,
    parse: fn(&str) -> Option<Net>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let own = text(values(arguments)?.first())?;
    let parsed =
        parse(&own).ok_or_else(|| ExecutionError::function_error(what, format!("{what} {own:?} cannot be parsed")))?;
    given(Value::Opaque(Arc::new(parsed)))
}

fn can_be<'b, 'v>(arguments: &[CowVal], parse: fn(&str) -> Option<Net>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(parse(&text(values(arguments)?.first())?).is_some()))
}

fn url<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    made(&arguments, "URL", parse_url)
}

fn is_url<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    can_be(&arguments, parse_url)
}

fn ip<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    made(&arguments, "IP Address", parse_ip)
}

fn is_ip<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    can_be(&arguments, parse_ip)
}

fn cidr<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    made(&arguments, "CIDR", parse_cidr)
}

fn is_cidr<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    can_be(&arguments, parse_cidr)
}

fn wrong() -> ExecutionError {
    ExecutionError::function_error("", "no such overload")
}

/// An argument: a value of the net, or the text of an address or network.
fn net(value: Option<&Value>) -> Result<Net, ExecutionError> {
    match value {
        Some(Value::Opaque(opaque)) => opaque.downcast_ref::<Net>().cloned().ok_or_else(wrong),
        Some(Value::String(text)) => parse_cidr(text).or_else(|| parse_ip(text)).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

fn of_url<'b, 'v>(arguments: &[CowVal], part: impl FnOnce(&Uri) -> String) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match net(values(arguments)?.first())? {
        Net::Url(uri) => given(Value::String(Arc::new(part(&uri)))),
        _ => Err(wrong()),
    }
}

fn scheme<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_url(&arguments, |uri| uri.scheme_str().unwrap_or_default().into())
}

fn host<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_url(&arguments, |uri| {
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        authority.rsplit('@').next().unwrap_or_default().into()
    })
}

fn host_name<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_url(&arguments, |uri| uri.host().unwrap_or_default().trim_matches(['[', ']']).into())
}

fn port<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_url(&arguments, |uri| uri.port().map_or(String::new(), |port| port.to_string()))
}

fn path<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_url(&arguments, |uri| uri.path().into())
}

fn query<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let Net::Url(uri) = net(values(&arguments)?.first())? else { return Err(wrong()) };
    let mut all: HashMap<Key, Vec<Value>> = HashMap::new();
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let name = Key::String(Arc::new(name.into_owned()));
        all.entry(name).or_default().push(Value::String(Arc::new(value.into_owned())));
    }
    let map = all.into_iter().map(|(name, values)| (name, Value::List(Arc::new(values)))).collect();
    given(Value::Map(Map { map: Arc::new(map) }))
}

fn address(arguments: &[CowVal]) -> Result<IpAddr, ExecutionError> {
    match net(values(arguments)?.first())? {
        Net::Ip(ip) => Ok(ip),
        Net::Cidr(ip, _) => Ok(ip),
        Net::Url(_) => Err(wrong()),
    }
}

fn family<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Int(if address(&arguments)?.is_ipv4() { 4 } else { 6 }))
}

fn is_loopback<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(address(&arguments)?.is_loopback()))
}

fn is_unspecified<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    given(Value::Bool(address(&arguments)?.is_unspecified()))
}

fn prefix<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    match net(values(&arguments)?.first())? {
        Net::Cidr(_, bits) => given(Value::Int(bits.into())),
        _ => Err(wrong()),
    }
}

/// The first bits of an address.
fn masked(ip: IpAddr, bits: u8) -> u128 {
    let (number, width) = match ip {
        IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
        IpAddr::V6(ip) => (u128::from(ip), 128),
    };
    number.checked_shr(width - u32::from(bits).min(width)).unwrap_or(0)
}

fn contains<'b, 'v>(arguments: &[CowVal], is_ip: bool) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let values = values(arguments)?;
    let (outer, inner) = (net(values.first())?, net(values.get(1))?);
    let (Net::Cidr(network, bits), (ip, inner_bits)) = (
        outer,
        match inner {
            Net::Ip(ip) if is_ip => (ip, u8::MAX),
            Net::Cidr(ip, bits) if !is_ip => (ip, bits),
            _ => return Err(wrong()),
        },
    ) else {
        return Err(wrong());
    };
    let is_inside =
        network.is_ipv4() == ip.is_ipv4() && inner_bits >= bits && masked(network, bits) == masked(ip, bits);
    given(Value::Bool(is_inside))
}

fn contains_ip<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    contains(&arguments, true)
}

fn contains_cidr<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    contains(&arguments, false)
}
