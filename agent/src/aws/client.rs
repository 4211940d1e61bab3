//! One HTTP client for everything. The SDK applies a proxy to every address, instance metadata included; this one
//! leaves out what a proxy can never reach: this host itself and its link. And what comes back is bounded: whoever
//! answers, an answer fills no memory, and its date is one that can be reckoned with.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::shared::IntoShared;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::answer::http_date;
use super::{ClientError, ca_bundle};

/// Environment variables that name a proxy.
const PROXIES: [&str; 6] =
    ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];

/// The client, with the certificates of `configured` trusted beside the system's.
pub(super) fn http(configured: Option<&Path>) -> Result<SharedHttpClient, ClientError> {
    let tls = tls_context(configured)?;
    let provider = || Provider::Rustls(CryptoMode::AwsLc);
    let direct = Builder::new().tls_provider(provider()).tls_context(tls.clone()).build_https();
    if !PROXIES.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())) {
        return Ok(ByAddress { proxied: direct.clone(), direct }.into_shared());
    }
    let proxied = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().proxy_config(ProxyConfig::from_env());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.tls_provider(provider()).tls_context(tls.clone()).build()
    });
    Ok(ByAddress { direct, proxied }.into_shared())
}

fn tls_context(configured: Option<&Path>) -> Result<TlsContext, ClientError> {
    let mut trusted = TrustStore::default();
    if rustls_native_certs::load_native_certs().certs.is_empty() {
        tracing::warn!(
            "this system has no CA certificates, so no AWS endpoint can be trusted; install ca-certificates"
        );
        trusted = TrustStore::empty();
    }
    if let Some((path, name)) = ca_bundle(configured) {
        trusted.add_pem_certificate(certificates(&path, name)?);
    }
    TlsContext::builder().with_trust_store(trusted).build().map_err(|error| ClientError::Certificates {
        path: PathBuf::new(),
        name: "system",
        why: error.to_string(),
    })
}

/// The certificates of a file, each tried: the HTTP client panics on one that it cannot use.
fn certificates(path: &Path, name: &'static str) -> Result<Vec<u8>, ClientError> {
    let wrong = |why: String| ClientError::Certificates { path: path.to_owned(), name, why };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let certificates: Result<Vec<CertificateDer>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("there is no certificate in it; write it as PEM".into()));
    }
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        store.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(text)
}

/// Sends by the proxy, unless the address is one that only this host can reach.
#[derive(Debug)]
struct ByAddress<C> {
    direct: C,
    proxied: C,
}

impl HttpClient for ByAddress<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(ByAddress {
            direct: self.direct.http_connector(settings, components),
            proxied: self.proxied.http_connector(settings, components),
        })
    }
}

impl HttpConnector for ByAddress<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = if is_never_proxied(request.uri()) { &self.direct } else { &self.proxied };
        let answer = connector.call(request);
        HttpConnectorFuture::new(async move { answer.await.map(bounded) })
    }
}

/// Bytes that an answer may have. The longest that we ask for are an identity document and an error.
const MAX_ANSWER: usize = 1024 * 1024;

/// The answer without what could do harm: the SDK reads bodies to their end, and reckons with any date.
fn bounded(mut answer: HttpResponse) -> HttpResponse {
    let date = answer.headers().get("date").and_then(http_date);
    if !date.is_some_and(is_plausible) {
        answer.headers_mut().remove("date");
    }
    let body = answer.take_body();
    *answer.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MAX_ANSWER));
    answer
}

/// Whether a clock may say so: this program is not older than 2020, and not in use after 2100.
fn is_plausible(date: Timestamp) -> bool {
    (1_577_836_800..4_102_444_800).contains(&date.as_second())
}

/// Whether this address is this host itself, or the link: instance metadata, container credentials.
fn is_never_proxied(uri: &str) -> bool {
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    match host.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        // fd00:ec2::/32 is where EC2 serves metadata over IPv6, fd00:ec2::23 container credentials.
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            address.to_ipv4_mapped().is_some_and(|address| address.is_loopback() || address.is_link_local())
        }
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unicast_link_local()
                || address.segments().starts_with(&[0xfd00, 0x0ec2])
        }
        Err(_) => {
            let name = host.trim_end_matches('.').to_ascii_lowercase();
            // 127.1 is short for 127.0.0.1.
            let is_short = name.starts_with("127.") && name.bytes().all(|c| c.is_ascii_digit() || c == b'.');
            is_short || name == "localhost" || name.ends_with(".localhost")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_and_loopback_are_never_asked_through_a_proxy() {
        for direct in [
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://[fd00:ec2::254]/latest/api/token",
            "http://127.0.0.1:5000/",
            "http://[::1]:5000/",
            "http://localhost:4566/service/x",
            "http://LOCALHOST.:4566",
            "http://u:p@127.0.0.1:9101/",
            "http://127.1:9101",
            "http://[::ffff:127.0.0.1]:9101",
        ] {
            assert!(is_never_proxied(direct), "{direct}");
        }
        for proxied in
            ["https://monitoring.eu-west-3.amazonaws.com/", "https://10.0.0.1/", "https://[fd00::1]/"]
        {
            assert!(!is_never_proxied(proxied), "{proxied}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_used_are_refused_before_the_client_panics() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let begin = "-----BEGIN CERTIFICATE-----\n";
        for text in ["", "text", &format!("{begin}AAAA\n-----END CERTIFICATE-----\n"), &format!("{begin}A")] {
            std::fs::write(&path, text).unwrap();
            let error = http(Some(&path)).unwrap_err().to_string();
            assert!(error.contains("ca.pem (aws.ca_bundle)"), "{error}");
        }
        assert!(
            http(Some(&folder.path().join("none.pem"))).unwrap_err().to_string().contains("No such file")
        );
    }
}
