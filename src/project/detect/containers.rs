//! Containers: only when nothing in the project can run without them.

use super::source::{Source, quoted};
use super::{Found, finding};
use crate::model::finding::Severity;
use crate::model::runtime::Runtime;

pub(super) fn find(source: &Source) -> Option<Found> {
    let compose = source.first(&["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"]);
    let mut found = match compose {
        Some(file) => {
            let mut found = Found::new(Runtime::Docker, source.whole(file));
            found.build = Some("docker compose build".to_owned());
            // In the foreground, so that its life and its log are the app's.
            found.start("docker compose up", source.quote_or_whole(file, "services:"));
            if let Some(port) = source.read(file).lines().find_map(published) {
                found.port = port;
            }
            found
        }
        None => {
            source.first(&["Dockerfile"])?;
            let mut found = Found::new(Runtime::Docker, source.whole("Dockerfile"));
            let exposed = source.read("Dockerfile").lines().find_map(exposed);
            found.port = exposed.unwrap_or(found.port);
            found.build = Some("docker build -t \"$COMPOSE_PROJECT_NAME\" .".to_owned());
            let inside = found.port;
            let evidence = source.quote_or_whole("Dockerfile", "EXPOSE");
            found.start(
                format!("docker run --rm --init --name \"$COMPOSE_PROJECT_NAME\" $CONTAINER_ENV -e PORT={inside} -p \"$PORT:{inside}\" \"$COMPOSE_PROJECT_NAME\""),
                evidence,
            );
            found
        }
    };
    for file in compose.into_iter().chain(source.first(&["Dockerfile"])) {
        for (number, line) in source.read(file).lines().enumerate() {
            let trimmed = line.trim().trim_start_matches("- ");
            let names_image = trimmed.starts_with("image:") || trimmed.to_uppercase().starts_with("FROM ");
            if names_image && (["ghcr.io/", "quay.io/", "gcr.io/"].iter().any(|host| line.contains(host)) || line.contains("@sha256:")) {
                found.findings.push(finding(
                    "image-hard-to-pull",
                    Severity::Warning,
                    format!("the image in `{}` is slow or impossible to pull from a mainland region", trimmed),
                    Some(quoted(file, number, line)),
                    "copy the image to your own registry, or use a region outside the mainland",
                ));
            }
        }
    }
    Some(found)
}

/// `EXPOSE 8080/tcp`.
fn exposed(line: &str) -> Option<u16> {
    let (word, rest) = line.trim().split_once(char::is_whitespace)?;
    let port = rest.split_whitespace().next()?.split('/').next()?;
    word.eq_ignore_ascii_case("EXPOSE").then(|| port.parse().ok())?
}

/// The host's side of `- "8080:80"`.
fn published(line: &str) -> Option<u16> {
    let text = line.trim().strip_prefix("- ")?.trim_matches(['"', '\'']);
    let (outside, inside) = text.rsplit_once(':')?;
    inside.split('/').next()?.parse::<u16>().ok()?;
    outside.rsplit(':').next()?.parse().ok()
}
