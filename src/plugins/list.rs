//! What is made of the lists in `plugins/mod.rs`: a field for each plugin that is built in, and a call to it in every hook. What is
//! not built in leaves nothing behind.

/// See `plugins/mod.rs`.
macro_rules! plugins {
    (
        $(#[$hooks_doc:meta])*
        hooks { $($feature:literal $hook:ident: $plugin:ty;)* }
        $(#[$handlers_doc:meta])*
        handlers { $($hfeature:literal $handler:ident: $Variant:ident = $Handler:ty;)* }
    ) => {
        use std::io;

        use crate::config::Config;
        use crate::plugin::events::{Told, Watches};
        #[allow(unused_imports)] // Where no handler is built in.
        use crate::plugin::handler::{Asked, Handler};
        use crate::plugin::handler::{Call, Handling, Produced, Taken};
        #[allow(unused_imports)] // Where no plugin with hooks is built in.
        use crate::plugin::hooks::{Answer, Needs, Plugin, Verdict, Worker};
        use crate::plugin::host::Host;
        use crate::plugin::scene::{RefusalFields, Scene};
        use crate::storage::pool::Pool;
        use crate::sys::socket::Peer;
        use crate::vhost::live::Live;
        use crate::vhost::request::Request;

        /// The plugins as they live in the process.
        $(#[$hooks_doc])*
        pub struct Plugins {
            $(#[cfg(feature = $feature)] $hook: $plugin,)*
        }

        /// The plugins as they live in one worker.
        pub struct Workers {
            $(#[cfg(feature = $feature)] $hook: <$plugin as Plugin>::Worker,)*
            $(#[cfg(feature = $hfeature)] $handler: $Handler,)*
        }

        /// A plugin could not begin.
        #[derive(Debug)]
        pub struct PluginError {
            /// Its name.
            pub name: &'static str,
            /// Why.
            pub error: io::Error,
        }

        impl std::fmt::Display for PluginError {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "plugin {}: {}", self.name, self.error)
            }
        }

        /// The number of each plugin, by which a loop knows whose descriptor an event is of.
        #[allow(non_camel_case_types, dead_code)] // They are the names of fields; which are there is the features' choice.
        enum Number {
            server,
            $(#[cfg(feature = $feature)] $hook,)*
            $(#[cfg(feature = $hfeature)] $handler,)*
        }

        /// A plugin of this build, and what it takes part in.
        #[derive(Clone, Copy, Debug)]
        pub struct Listed {
            /// Its short name.
            pub name: &'static str,
            /// Whether it has a hook in the process.
            pub process: bool,
            /// The stages.
            pub stages: &'static [u8],
        }

        /// The plugins of this build but for the transport, in the order in which they are asked. Each has a hook in the workers.
        pub const LISTED: &[Listed] = &[
            $(
                #[cfg(feature = $feature)]
                Listed { name: <$plugin as Plugin>::NAME, process: true, stages: <$plugin as Plugin>::STAGES },
            )*
            $(
                #[cfg(feature = $hfeature)]
                Listed { name: <$Handler as Handler>::NAME, process: false, stages: &[30] },
            )*
        ];

        /// What the plugins take besides their code.
        #[inline(never)]
        pub fn needs(config: &Config, workers: usize) -> Needs {
            handlers_need(config, workers)$(.and({
                #[cfg(feature = $feature)]
                let needs = <$plugin as Plugin>::needs(config, workers);
                #[cfg(not(feature = $feature))]
                let needs = Needs::default();
                needs
            }))*
        }

        /// The part of it that handlers take.
        pub fn handlers_need(config: &Config, workers: usize) -> Needs {
            let _ = (config, workers);
            Needs::default()$(.and({
                #[cfg(feature = $hfeature)]
                let needs = <$Handler as Handler>::needs(config, workers);
                #[cfg(not(feature = $hfeature))]
                let needs = Needs::default();
                needs
            }))*
        }

        /// How many programs the plugins may have running at once. Known to be none where none of those built in starts any: then the
        /// spawner is no part of the program either.
        #[inline(always)]
        pub fn children(config: &Config, workers: usize) -> usize {
            let _ = (config, workers);
            0usize
                $(.saturating_add({
                    #[cfg(feature = $feature)]
                    let children = <$plugin as Plugin>::children(config, workers);
                    #[cfg(not(feature = $feature))]
                    let children = 0;
                    children
                }))*
                $(.saturating_add({
                    #[cfg(feature = $hfeature)]
                    let children = <$Handler as Handler>::children(config, workers);
                    #[cfg(not(feature = $hfeature))]
                    let children = 0;
                    children
                }))*
        }

        /// Whether a plugin has something to do when no server is there. Known to be none where none of those built in has.
        #[inline(always)]
        pub fn has_aftermath(config: &Config) -> bool {
            let _ = config;
            false $(|| {
                #[cfg(feature = $feature)]
                let has = <$plugin as Plugin>::has_aftermath(config);
                #[cfg(not(feature = $feature))]
                let has = false;
                has
            })*
        }

        /// No server is there.
        pub fn aftermath(config: &Config, died: bool) {
            let _ = (config, died);
            $(#[cfg(feature = $feature)] <$plugin as Plugin>::aftermath(config, died);)*
        }

        /// Stage 10, of every plugin in its turn.
        #[inline]
        pub fn accept(live: &Live, peer: &Peer) -> Verdict {
            let _ = (live, peer);
            $(
                #[cfg(feature = $feature)]
                match <$plugin as Plugin>::accept(live, peer) {
                    Verdict::Continue => {}
                    verdict => return verdict,
                }
            )*
            Verdict::Continue
        }

        impl Plugins {
            /// Process context.
            pub fn start(config: &Config, workers: usize) -> Result<Plugins, PluginError> {
                let _ = (config, workers);
                Ok(Plugins {
                    $(
                        #[cfg(feature = $feature)]
                        $hook: <$plugin as Plugin>::start(config, workers)
                            .map_err(|error| PluginError { name: <$plugin as Plugin>::NAME, error })?,
                    )*
                })
            }

            /// The directories in which plugins remove files when the server stops.
            pub fn remove_in(&self) -> Vec<std::os::fd::BorrowedFd<'_>> {
                #[allow(unused_mut)]
                let mut directories = Vec::new();
                $(#[cfg(feature = $feature)] directories.extend(self.$hook.removes_in());)*
                directories
            }

            /// Process context, once rights are given up.
            pub fn run(&mut self, host: &std::sync::Arc<dyn Host>, watches: &mut Watches) -> Result<(), PluginError> {
                let _ = (host, &watches);
                $(
                    #[cfg(feature = $feature)]
                    self.$hook
                        .run(host, watches.of_plugin(Number::$hook as u8))
                        .map_err(|error| PluginError { name: <$plugin as Plugin>::NAME, error })?;
                )*
                Ok(())
            }

            /// Worker context.
            pub fn worker(&self, number: usize, live: &Live) -> Result<Workers, PluginError> {
                let _ = (number, live);
                Ok(Workers {
                    $(
                        #[cfg(feature = $feature)]
                        $hook: self.$hook
                            .worker(number)
                            .map_err(|error| PluginError { name: <$plugin as Plugin>::NAME, error })?,
                    )*
                    $(
                        #[cfg(feature = $hfeature)]
                        $handler: <$Handler as Handler>::new(live)
                            .map_err(|error| PluginError { name: <$Handler as Handler>::NAME, error })?,
                    )*
                })
            }

            /// Adds what each of them can not take up before a restart.
            pub fn needs_restart(&self, config: &Config, keys: &mut Vec<&'static str>) {
                let _ = (config, &keys);
                $(
                    #[cfg(feature = $feature)]
                    keys.extend(self.$hook.needs_restart(config));
                )*
            }

            /// Another configuration is about to be in force.
            pub fn reconfigure(&mut self, live: &Live) {
                let _ = live;
                $(
                    #[cfg(feature = $feature)]
                    if let Err(error) = self.$hook.reconfigure(live) {
                        crate::log::error!("plugin {}: {error}", <$plugin as Plugin>::NAME);
                    }
                )*
            }

            /// SIGUSR1.
            pub fn reopen(&mut self) {
                $(#[cfg(feature = $feature)] self.$hook.reopen();)*
            }

            /// The end of a turn of the main thread. True: a plugin has done what it will not do again for a while.
            pub fn turn(&mut self, host: &std::sync::Arc<dyn Host>) -> bool {
                let _ = host;
                let rests = false;
                // All of them have their turn, whatever those before them say.
                $(#[cfg(feature = $feature)] let rests = self.$hook.turn(host) | rests;)*
                rests
            }

            /// SIGUSR2.
            pub fn tell(&self) {
                $(#[cfg(feature = $feature)] self.$hook.tell();)*
            }

            /// The end of the server begins.
            pub fn stopping(&mut self, handed_over: bool) {
                let _ = handed_over;
                $(#[cfg(feature = $feature)] self.$hook.stopping(handed_over);)*
            }

            /// The server stops.
            pub fn stop(&mut self) {
                $(#[cfg(feature = $feature)] self.$hook.stop();)*
            }

            /// What is watched in the main thread has an event.
            pub fn event(&mut self, told: Told, host: &std::sync::Arc<dyn Host>, watches: &mut Watches) {
                let _ = (told, host, &watches);
                $(
                    #[cfg(feature = $feature)]
                    if told.plugin == Number::$hook as u8 {
                        self.$hook.event(told.key, told.happened, host, watches.of_plugin(told.plugin));
                    }
                )*
            }
        }

        impl Workers {
            /// Worker context, in the worker's thread.
            pub fn run(&mut self, watches: &mut Watches) {
                let _ = &watches;
                $(#[cfg(feature = $feature)] self.$hook.run(watches.of_plugin(Number::$hook as u8));)*
            }

            /// Stage 20.
            #[inline]
            pub fn request(
                &mut self,
                scene: &mut Scene<'_>,
                request: &Request<'_>,
                peer: &Peer,
                fields: &mut RefusalFields,
            ) -> Verdict {
                let _ = (&scene, request, peer, &fields);
                $(
                    #[cfg(feature = $feature)]
                    match self.$hook.request(scene, request, peer, fields) {
                        Verdict::Continue => {}
                        verdict => return verdict,
                    }
                )*
                Verdict::Continue
            }

            /// Stage 40.
            #[inline]
            pub fn served(&mut self, scene: &Scene<'_>, request: Option<&Request<'_>>, peer: &Peer, answer: Answer) {
                let _ = (scene, request, peer, answer);
                $(#[cfg(feature = $feature)] self.$hook.served(scene, request, peer, answer);)*
            }

            /// Stage 50.
            #[inline]
            pub fn closed(&mut self, peer: &Peer) {
                let _ = peer;
                $(#[cfg(feature = $feature)] self.$hook.closed(peer);)*
            }

            /// Another configuration is in force.
            pub fn reconfigure(&mut self, live: &Live) {
                let _ = live;
                $(#[cfg(feature = $feature)] self.$hook.reconfigure(live);)*
                $(#[cfg(feature = $hfeature)] self.$handler.reconfigure(live);)*
            }

            /// The end of a turn.
            #[inline]
            pub fn turn(&mut self, now: u32) -> Option<u32> {
                let _ = now;
                #[allow(unused_mut)]
                let mut wait: Option<u32> = None;
                $(
                    #[cfg(feature = $feature)]
                    if let Some(own) = self.$hook.turn(now) {
                        wait = Some(wait.map_or(own, |wait| wait.min(own)));
                    }
                )*
                wait
            }

            /// Whether the handlers want to be told of the end of turns under a configuration.
            pub fn want_turns(&self, config: &Config) -> bool {
                let _ = config;
                false $(|| {
                    #[cfg(feature = $hfeature)]
                    let wants = <$Handler as Handler>::wants_turns(config);
                    #[cfg(not(feature = $hfeature))]
                    let wants = false;
                    wants
                })*
            }

            /// The end of a turn, for handlers.
            #[inline(never)]
            pub fn turn_of_handlers(&mut self, scene: &mut Scene<'_>) -> Option<u32> {
                let _ = &scene;
                #[allow(unused_mut)]
                let mut wait: Option<u32> = None;
                $(
                    #[cfg(feature = $hfeature)]
                    {
                        scene.watches.of_plugin(Number::$handler as u8);
                        if let Some(own) = self.$handler.turn(scene) {
                            wait = Some(wait.map_or(own, |wait| wait.min(own)));
                        }
                    }
                )*
                wait
            }

            /// What this worker watches has an event.
            pub fn event(&mut self, told: Told, scene: &mut Scene<'_>) {
                scene.watches.of_plugin(told.plugin);
                $(
                    #[cfg(feature = $feature)]
                    if told.plugin == Number::$hook as u8 {
                        self.$hook.event(told.key, told.happened, scene.watches);
                    }
                )*
                $(
                    #[cfg(feature = $hfeature)]
                    if told.plugin == Number::$handler as u8 {
                        self.$handler.event(told.key, told.happened, scene);
                    }
                )*
            }
        }

        /// What a handler remembers of a request under way.
        $(#[$handlers_doc])*
        #[derive(Debug, PartialEq, Eq)]
        pub enum Task {
            $(
                #[cfg(feature = $hfeature)]
                #[allow(missing_docs)]
                $Variant(<$Handler as Handler>::Task),
            )*
        }

        /// Which requests the handler of a name is asked about.
        pub fn asked(name: &str) -> Asked {
            let _ = name;
            $(
                #[cfg(feature = $hfeature)]
                if name == <$Handler as Handler>::NAME {
                    return <$Handler as Handler>::ASKED;
                }
            )*
            Asked::First
        }

        /// Whether the handler of a name takes the bodies of requests.
        pub fn takes_body(name: &str) -> bool {
            let _ = name;
            $(
                #[cfg(feature = $hfeature)]
                if name == <$Handler as Handler>::NAME {
                    return <$Handler as Handler>::TAKES_BODY;
                }
            )*
            false
        }

        /// The handler that is asked about every directory, whatever the lines say.
        pub fn lists_by_default(live: &Live) -> Option<&'static str> {
            let _ = live;
            $(
                #[cfg(feature = $hfeature)]
                if <$Handler as Handler>::ASKED == Asked::ForDirectories && <$Handler as Handler>::is_on(live) {
                    return Some(<$Handler as Handler>::NAME);
                }
            )*
            None
        }

        impl Workers {
            /// Stage 30: asks the handler of a name. `body` = there is one, so that only those that take bodies are asked.
            pub fn handle(
                &mut self,
                name: &str,
                body: bool,
                scene: &mut Scene<'_>,
                request: &Request<'_>,
                call: Call<'_>,
            ) -> Handling<Task> {
                let _ = (body, &scene, request, &call);
                $(
                    #[cfg(feature = $hfeature)]
                    if name == <$Handler as Handler>::NAME {
                        if body && !<$Handler as Handler>::TAKES_BODY {
                            return Handling::NotMe;
                        }
                        scene.watches.of_plugin(Number::$handler as u8);
                        return match self.$handler.handle(scene, request, call) {
                            Handling::NotMe => Handling::NotMe,
                            Handling::Answered => Handling::Answered,
                            Handling::Refuse(status) => Handling::Refuse(status),
                            Handling::Begun(task) => Handling::Begun(Task::$Variant(task)),
                        };
                    }
                )*
                let _ = name;
                Handling::NotMe
            }

            /// See [`Handler::take`].
            pub fn take(
                &mut self,
                task: &mut Task,
                data: &[u8],
                scene: &mut Scene<'_>,
                request: Option<&Request<'_>>,
            ) -> Taken {
                let _ = (data, &scene, request);
                match *task {
                    $(
                        #[cfg(feature = $hfeature)]
                        Task::$Variant(ref mut task) => {
                            scene.watches.of_plugin(Number::$handler as u8);
                            self.$handler.take(task, data, scene, request)
                        }
                    )*
                }
            }

            /// See [`Handler::finish`].
            pub fn finish(&mut self, task: &mut Task, scene: &mut Scene<'_>) {
                let _ = &scene;
                match *task {
                    $(
                        #[cfg(feature = $hfeature)]
                        Task::$Variant(ref mut task) => {
                            scene.watches.of_plugin(Number::$handler as u8);
                            self.$handler.finish(task, scene)
                        }
                    )*
                }
            }

            /// See [`Handler::wants_request`].
            pub fn wants_request(&self, task: &Task) -> bool {
                match *task {
                    $(#[cfg(feature = $hfeature)] Task::$Variant(ref task) => self.$handler.wants_request(task),)*
                }
            }

            /// See [`Handler::produce`].
            pub fn produce(
                &mut self,
                task: &mut Task,
                scene: &mut Scene<'_>,
                request: Option<&Request<'_>>,
            ) -> Produced {
                let _ = (&scene, request);
                match *task {
                    $(
                        #[cfg(feature = $hfeature)]
                        Task::$Variant(ref mut task) => {
                            scene.watches.of_plugin(Number::$handler as u8);
                            self.$handler.produce(task, scene, request)
                        }
                    )*
                }
            }

            /// See [`Handler::local`].
            pub fn local<'p>(&'p self, task: &Task, pool: &'p Pool) -> (u8, &'p [u8]) {
                let _ = pool;
                match *task {
                    $(#[cfg(feature = $hfeature)] Task::$Variant(ref task) => self.$handler.local(task, pool),)*
                }
            }

            /// See [`Handler::has_answered`].
            pub fn has_answered(&self, task: &Task) -> bool {
                match *task {
                    $(#[cfg(feature = $hfeature)] Task::$Variant(ref task) => self.$handler.has_answered(task),)*
                }
            }

            /// See [`Handler::answer`].
            pub fn answer(&self, task: &Task) -> Answer {
                match *task {
                    $(#[cfg(feature = $hfeature)] Task::$Variant(ref task) => self.$handler.answer(task),)*
                }
            }

            /// See [`Handler::release`].
            pub fn release(&mut self, task: Task, scene: &mut Scene<'_>) {
                let _ = &scene;
                match task {
                    $(
                        #[cfg(feature = $hfeature)]
                        Task::$Variant(task) => {
                            scene.watches.of_plugin(Number::$handler as u8);
                            self.$handler.release(task, scene)
                        }
                    )*
                }
            }
        }
    };
}
pub(super) use plugins;
