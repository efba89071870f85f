//! What is promised on every transport, each promise written once and held against each of them
//! (checklist A2; decisions section 1). The table below says which promise holds where.

mod ack;
mod content;
mod endings;
mod gaps;
mod loss;
mod replay;
mod subscriptions;
mod supply;
mod volume;

use weft_tests::transports::Transport;

/// Makes a test of each behaviour on each transport, named `behaviour::transport`.
macro_rules! behaviours {
    ($($file:ident::$name:ident:
        $long:ident $callback:ident $socket:ident $faye:ident $events:ident $stream:ident;)*) => {
        $(mod $name {
            use super::*;
            on!($long long_polling LongPolling $file::$name);
            on!($callback callback_polling CallbackPolling $file::$name);
            on!($socket websocket WebSocket $file::$name);
            on!($faye eventsource EventSource $file::$name);
            on!($events events Events $file::$name);
            on!($stream stream Stream $file::$name);
        })*
    };
}

macro_rules! on {
    (yes $test:ident $transport:ident $file:ident::$name:ident) => {
        #[test]
        fn $test() {
            $file::$name(Transport::$transport);
        }
    };
    // Why not stands in the table.
    (no $($rest:tt)*) => {};
}

// For each behaviour: long-polling, callback-polling, websocket, eventsource, /events, /stream.
behaviours! {
    subscriptions::b6_b7_patterns_bring_what_they_match_and_nothing_else: yes yes yes yes yes yes;
    subscriptions::f10_l8_overlapping_subscriptions_bring_one_copy: yes yes yes yes yes yes;
    content::l16_odd_data_comes_as_it_was_published: yes yes yes yes yes yes;
    content::p5_what_fits_the_limit_of_a_body_comes_whole: yes yes yes yes yes yes;
    content::f9_x3_the_publishers_ext_comes_along: yes yes yes yes yes yes;
    volume::l11_p1_each_channel_keeps_its_order_while_several_publish: yes yes yes yes yes yes;
    volume::r24_a_burst_comes_whole_and_in_order: yes yes yes yes yes yes;
    volume::p2_p5_who_does_not_read_costs_no_memory_and_misses_nothing: yes yes yes yes yes yes;
    replay::x2_t4_t5_a_subscriber_starts_where_it_says: yes yes yes yes yes yes;
    replay::x2_what_was_and_what_comes_meet_without_a_gap: yes yes yes yes yes yes;
    replay::p4_what_is_no_longer_kept_is_told: yes yes yes yes yes yes;
    loss::l12_a_cut_while_nothing_comes_loses_nothing: yes yes yes yes yes yes;
    loss::l12_what_was_sent_into_a_dead_connection_comes_again: yes yes yes yes yes yes;
    loss::l11_l12_nothing_is_lost_or_out_of_order_while_connections_die: yes yes yes yes yes yes;
    gaps::p4_p5_what_no_backlog_holds_is_told_when_it_goes: yes yes yes yes yes yes;
    gaps::p4_p5_what_is_dropped_is_told: yes yes yes yes yes yes;
    endings::d10_r13_a_broker_that_stops_says_so_and_one_can_come_back: yes yes yes yes yes yes;
    endings::a11_after_a_crash_one_can_come_back: yes yes yes yes yes yes;
    endings::e18_e21_who_leaves_leaves_nothing_behind: yes yes yes yes yes yes;
    endings::e17_e20_who_stays_away_is_forgotten: yes yes yes yes yes yes;
    endings::r32_pages_of_foreign_origins_get_nothing: yes yes yes yes yes yes;

    // Readers of /events and /stream have no session: nothing to change, to refuse or to acknowledge,
    // and nobody to publish as. A cursor does for them what ack does for sessions (above: loss).
    subscriptions::a2_meta_replies_are_those_of_long_polling: yes yes yes yes no no;
    subscriptions::e22_e24_e25_nothing_comes_after_an_unsubscribe: yes yes yes yes no no;
    subscriptions::l17_publishers_hear_themselves: yes yes yes yes no no;
    endings::l13_sessions_that_do_not_exist_are_refused: yes yes yes yes no no;

    // Faye's clients acknowledge nothing, and only they use eventsource.
    ack::x1_every_connect_reply_has_the_next_number: yes yes yes no no no;
    ack::x1_what_is_not_acknowledged_comes_again: yes yes yes no no no;
}
