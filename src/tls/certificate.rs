//! What a certificate says: until when it is good, and which node it is of. Only reads; whether to believe it is decided
//! elsewhere.

use std::time::Duration;

/// Certificates are good from this long before they are made: clocks differ.
pub const SKEW_S: u64 = 300;
/// A node's name in its certificate begins with this.
const SCHEME: &str = "cares://";
/// Of X.509: the tags of what is looked for.
const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
const URI: u8 = 0x86;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// And the extension that has names, with its own tag and length.
const ALTERNATIVE_NAMES: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];

/// Seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from_unix_s: u64,
    pub to_unix_s: u64,
}

impl Validity {
    /// For one that is made now.
    pub fn starting(now_unix_s: u64, life: Duration) -> Self {
        Validity { from_unix_s: now_unix_s.saturating_sub(SKEW_S), to_unix_s: now_unix_s + life.as_secs() }
    }

    /// When one of ours is to be replaced: two thirds into its life.
    pub fn renew_unix_ms(self) -> u64 {
        let made = self.from_unix_s + SKEW_S;
        (made * 1_000).saturating_add(self.to_unix_s.saturating_sub(made) * 2_000 / 3)
    }

    /// Whether it is time for that. The wall clock's, as all in a certificate: other machines go by it.
    pub fn is_due(self, now_unix_ms: u64) -> bool {
        now_unix_ms >= self.renew_unix_ms()
    }

    pub fn has_expired(self, now_unix_ms: u64) -> bool {
        now_unix_ms > self.expires_unix_ms()
    }

    pub fn expires_unix_ms(self) -> u64 {
        self.to_unix_s * 1_000
    }
}

/// The name of a node in its certificate.
pub fn node_name(cluster: &str, node: &str) -> String {
    format!("{SCHEME}{cluster}/node/{node}")
}

/// The node of a cluster that a certificate is of.
pub fn node_of(certificate: &[u8], cluster: &str) -> Option<String> {
    let prefix = node_name(cluster, "");
    let name = uris(certificate)?.into_iter().find_map(|uri| uri.strip_prefix(&prefix).map(str::to_string))?;
    Some(name).filter(|name| !name.is_empty())
}

/// Until when it is good.
pub fn validity(certificate: &[u8]) -> Option<Validity> {
    let mut fields = fields(certificate)?;
    let mut times = fields.nth(4).filter(|(tag, _)| *tag == SEQUENCE).map(|(_, body)| Parts(body))?;
    let (from, to) = (times.next()?, times.next()?);
    Some(Validity { from_unix_s: unix_s(from)?, to_unix_s: unix_s(to)? })
}

fn uris(certificate: &[u8]) -> Option<Vec<String>> {
    let (_, extensions) = fields(certificate)?.find(|(tag, _)| *tag == EXTENSIONS)?;
    let (_, all) = Parts(extensions).next()?;
    let names = Parts(all).find_map(|(_, extension)| extension.strip_prefix(ALTERNATIVE_NAMES))?;
    let (_, value) = Parts(names).find(|(tag, _)| *tag == OCTETS)?;
    let (_, names) = Parts(value).next()?;
    let text = |(_, body): (u8, &[u8])| str::from_utf8(body).ok().map(str::to_string);
    Some(Parts(names).filter(|(tag, _)| *tag == URI).filter_map(text).collect())
}

/// Serial number, algorithm, issuer, … after the version, which may be left out; so a field's place is that of a
/// certificate that says it.
fn fields(certificate: &[u8]) -> Option<impl Iterator<Item = (u8, &[u8])>> {
    let (_, whole) = Parts(certificate).next()?;
    let (_, signed) = Parts(whole).next()?;
    let said = Parts(signed).next().is_some_and(|(tag, _)| tag == VERSION);
    let version = (!said).then_some((VERSION, &[][..]));
    Some(version.into_iter().chain(Parts(signed)))
}

/// Tag and body, one after the other; ends where it makes no sense.
struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        let (length, rest) = match first {
            0..0x80 => (usize::from(first), rest),
            _ => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let fits = bytes.len() <= 4;
                let number = bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
                (Some(number).filter(|_| fits)?, rest)
            }
        };
        let (body, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, body))
    }
}

/// `YYMMDDHHMMSSZ`, or with four digits of the year.
fn unix_s((tag, text): (u8, &[u8])) -> Option<u64> {
    let text = str::from_utf8(text).ok()?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let digits = rest.strip_suffix('Z').filter(|digits| digits.len() == 10)?;
    let part = |at: usize| digits.get(at..at + 2)?.parse::<i8>().ok();
    let year = i16::try_from(year).ok()?;
    let time = jiff::civil::DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    let stamp = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    u64::try_from(stamp.as_second()).ok()
}
