//! The HTTP client against servers that nobody here wrote. `cargo xtask live http` starts them and runs this; without
//! them every case is listed as ignored.

mod backend;
mod httpbin;
mod servers;

use std::process::ExitCode;
use std::sync::Arc;

use networking_conformance::runner::Runner;
use networking_conformance::{Applies, Case, Suite};

use self::backend::{Backend, Live};
use self::servers::Servers;

fn main() -> ExitCode {
    let servers = match Servers::from_environment() {
        Ok(servers) => servers.map(Arc::new),
        Err(mistake) => {
            eprintln!("{mistake}");
            return ExitCode::FAILURE;
        }
    };
    let mut runner = Runner::new().threads(8);
    for backend in Backend::ALL {
        let servers = servers.clone();
        runner = runner.add(suite(), move || Arc::new(Live::new(backend, servers.clone())));
    }
    runner.run()
}

/// One case per line: the server it talks to, and its function.
macro_rules! cases {
    ($($server:literal $module:ident::$case:ident),+ $(,)?) => {
        vec![$(Case {
            id: concat!(stringify!($module), "::", stringify!($case)),
            // The report is counted by server.
            clause: $server,
            applies,
            run: |live| Box::pin($module::$case(live)),
        }),+]
    };
}

fn applies(live: &Live) -> Applies {
    Applies::environment(live.has_servers(), "cargo xtask live http starts the servers")
}

fn suite() -> Suite<Live> {
    Suite {
        domain: "live_http",
        cases: cases![
            "httpbin" httpbin::every_method_arrives,
            "httpbin" httpbin::queries_and_headers_arrive_as_they_are,
            "httpbin" httpbin::forms_and_json_are_understood,
            "httpbin" httpbin::a_mebibyte_is_uploaded,
            "httpbin" httpbin::a_stream_of_unknown_length_is_uploaded,
            "httpbin" httpbin::compressed_answers_are_decoded,
            "httpbin" httpbin::decoding_can_be_left_to_the_caller,
            "httpbin" httpbin::decoded_size_is_limited,
            "httpbin" httpbin::redirects_are_followed,
            "httpbin" httpbin::redirects_have_an_end,
            "httpbin" httpbin::redirects_keep_or_change_the_method,
            "httpbin" httpbin::statuses_are_answers_or_errors,
            "httpbin" httpbin::basic_and_bearer_credentials_are_accepted,
            "httpbin" httpbin::ranges_are_parts_of_the_whole,
            "httpbin" httpbin::a_slow_body_arrives_whole,
            "httpbin" httpbin::a_slow_head_is_a_timeout,
            "httpbin" httpbin::a_slow_body_is_a_timeout,
            "httpbin" httpbin::entity_tags_are_conditions,
            "httpbin" httpbin::chunked_answers_are_streamed,
            "httpbin" httpbin::chunks_have_the_size_asked_for,
            "httpbin" httpbin::text_and_bytes_are_what_was_sent,
            "httpbin" httpbin::repeated_headers_are_kept_apart,
            "httpbin" httpbin::failures_are_tried_again,
            "httpbin" httpbin::many_at_once_get_their_own_answers,
            "httpbin" httpbin::connections_are_used_again,
        ],
    }
}
