//! Ruby and PHP: frameworks first, then the bare files.

use super::source::Source;
use super::{Found, finding};
use crate::model::finding::Severity;
use crate::model::runtime::Runtime;

pub(super) fn find_ruby(source: &Source) -> Option<Found> {
    let mark = source.first(&["Gemfile", "config.ru"])?;
    let mut found = Found::new(Runtime::Ruby, source.whole(mark));
    if source.has("Gemfile") {
        found = found.install(
            "bundle config set --local path vendor/bundle && bundle config set --local without development:test && bundle install",
        );
    }
    let bundled = |command: &str| if source.has("Gemfile") { format!("bundle exec {command}") } else { command.to_owned() };
    if source.has("config/application.rb") {
        let evidence = source.quote_or_whole("config/application.rb", "Rails");
        found.start(bundled("rails server -b 0.0.0.0 -p \"$PORT\" -e production"), evidence);
        let pipeline = ["sprockets", "propshaft"].iter().any(|gem| source.read("Gemfile").contains(gem));
        found.build = pipeline.then(|| "SECRET_KEY_BASE_DUMMY=1 RAILS_ENV=production bundle exec rails assets:precompile".to_owned());
    } else if source.has("config.ru") {
        found.start(bundled("rackup --host 0.0.0.0 --port \"$PORT\" -E production"), source.whole("config.ru"));
    } else {
        for file in ["app.rb", "main.rb", "server.rb"].into_iter().filter(|file| source.has(file)) {
            found.start(bundled(&format!("ruby {file}")), source.whole(file));
        }
    }
    Some(found)
}

pub(super) fn find_php(source: &Source) -> Option<Found> {
    let mark = source.first(&["composer.json", "index.php", "public/index.php"])?;
    let mut found = Found::new(Runtime::Php, source.whole(mark));
    if source.has("composer.json") {
        found = found.install("composer install --no-dev --optimize-autoloader --no-interaction");
    }
    let (front, folder) = match source.first(&["public/index.php", "web/index.php", "index.php"]) {
        Some("index.php") => ("index.php", "."),
        Some(front) => (front, front.trim_end_matches("/index.php")),
        None => return Some(found),
    };
    let evidence = match source.has("artisan") {
        true => source.quote_or_whole("composer.json", "laravel/framework"),
        false => source.whole(front),
    };
    // FrankenPHP where the machine has it; PHP's own server says itself that it is not meant for the public.
    found.start(format!("serve_php {folder}"), evidence);
    found.findings.push(finding(
        "php-built-in-server",
        Severity::Info,
        "FrankenPHP serves this app where the machine has it, else PHP's built-in server, which is not made for heavy traffic".to_owned(),
        None,
        "install `frankenphp` on the machine, or set `start:` to your own server",
    ));
    Some(found)
}
