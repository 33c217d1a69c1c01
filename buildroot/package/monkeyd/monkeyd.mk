################################################################################
#
# monkeyd
#
################################################################################

MONKEYD_VERSION = 0.1.0
# Holds its crates, in VENDOR: nothing else is downloaded.
MONKEYD_SOURCE = monkeyd-$(MONKEYD_VERSION)-vendored.tar.gz
MONKEYD_SITE = https://monkey.example.org/releases
MONKEYD_LICENSE = Apache-2.0
MONKEYD_LICENSE_FILES = LICENSE

# Each is a folder of conf/plugins, where it has configuration, and a feature
# of the crate, plugin-NAME.
MONKEYD_PLUGINS = \
	$(if $(BR2_PACKAGE_MONKEYD_AUTH),auth) \
	$(if $(BR2_PACKAGE_MONKEYD_CGI),cgi) \
	$(if $(BR2_PACKAGE_MONKEYD_CHEETAH),cheetah) \
	$(if $(BR2_PACKAGE_MONKEYD_DIRLISTING),dirlisting) \
	$(if $(BR2_PACKAGE_MONKEYD_FASTCGI),fastcgi) \
	$(if $(BR2_PACKAGE_MONKEYD_GPIO),gpio) \
	$(if $(BR2_PACKAGE_MONKEYD_LIANA),liana) \
	$(if $(BR2_PACKAGE_MONKEYD_LOGGER),logger) \
	$(if $(BR2_PACKAGE_MONKEYD_MANDRIL),mandril) \
	$(if $(BR2_PACKAGE_MONKEYD_METRICS),metrics) \
	$(if $(BR2_PACKAGE_MONKEYD_PALM),palm) \
	$(if $(BR2_PACKAGE_MONKEYD_PROXY),proxy)

MONKEYD_FEATURES = \
	$(addprefix plugin-,$(MONKEYD_PLUGINS)) \
	$(if $(BR2_PACKAGE_MONKEYD_AUTH_BCRYPT),auth-bcrypt) \
	$(if $(BR2_PACKAGE_MONKEYD_PALM_SERVER),palm-server) \
	$(if $(BR2_PACKAGE_MONKEYD_SANDBOX),sandbox) \
	$(if $(BR2_PACKAGE_MONKEYD_SYSLOG),syslog)

MONKEYD_CARGO_BUILD_OPTS = \
	--no-default-features \
	--features "$(strip $(MONKEYD_FEATURES))"

# What Cargo.toml says of a release. Cargo is told otherwise for all packages,
# and the last word counts: without these the binary is larger by two fifths.
MONKEYD_CARGO_ENV = \
	CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
	CARGO_PROFILE_RELEASE_LTO=fat \
	CARGO_PROFILE_RELEASE_OPT_LEVEL=s

MONKEYD_BINARY = \
	target/$(RUSTC_TARGET_NAME)/$(if $(BR2_ENABLE_DEBUG),debug,release)/monkey

ifeq ($(BR2_PACKAGE_MONKEYD_PALM_SERVER),y)
define MONKEYD_INSTALL_PALM_CONF
	$(INSTALL) -D -m 0644 $(@D)/conf/palm.conf \
		$(TARGET_DIR)/etc/monkey/palm.conf
endef
endif

ifeq ($(BR2_PACKAGE_LOGROTATE),y)
define MONKEYD_INSTALL_LOGROTATE
	$(INSTALL) -D -m 0644 $(@D)/conf/service/monkey.logrotate \
		$(TARGET_DIR)/etc/logrotate.d/monkey
endef
endif

define MONKEYD_INSTALL_TARGET_CMDS
	$(INSTALL) -D -m 0755 $(@D)/$(MONKEYD_BINARY) \
		$(TARGET_DIR)/usr/sbin/monkey
	$(INSTALL) -D -m 0644 -t $(TARGET_DIR)/etc/monkey \
		$(@D)/conf/monkey.conf $(@D)/conf/monkey.mime
	$(SED) 's|# User www-data|User www-data|' \
		$(TARGET_DIR)/etc/monkey/monkey.conf
	$(INSTALL) -D -m 0644 $(@D)/conf/sites/default \
		$(TARGET_DIR)/etc/monkey/sites/default
	$(SED) 's|DocumentRoot ../htdocs|DocumentRoot /srv/www|' \
		$(TARGET_DIR)/etc/monkey/sites/default
	$(INSTALL) -d -m 0755 $(TARGET_DIR)/etc/monkey/plugins
	for plugin in $(MONKEYD_PLUGINS); do \
		test ! -d $(@D)/conf/plugins/$$plugin || \
		$(INSTALL) -D -m 0644 \
			-t $(TARGET_DIR)/etc/monkey/plugins/$$plugin \
			$(@D)/conf/plugins/$$plugin/* || exit 1; \
	done
	$(INSTALL) -D -m 0644 -t $(TARGET_DIR)/srv/www $(@D)/htdocs/*
	$(INSTALL) -D -m 0644 $(@D)/conf/service/monkey.default \
		$(TARGET_DIR)/etc/default/monkey
	$(MONKEYD_INSTALL_PALM_CONF)
	$(MONKEYD_INSTALL_LOGROTATE)
endef

# Both start it in the background, where nobody reads what is on stderr.
ifeq ($(BR2_PACKAGE_MONKEYD_SYSLOG),y)
define MONKEYD_LOG_TO_SYSLOG
	$(SED) 's|# LogTarget stderr|LogTarget syslog|' \
		$(TARGET_DIR)/etc/monkey/monkey.conf
endef
endif

define MONKEYD_INSTALL_INIT_SYSV
	$(MONKEYD_LOG_TO_SYSLOG)
	$(INSTALL) -D -m 0755 $(@D)/conf/service/S50monkey \
		$(TARGET_DIR)/etc/init.d/S50monkey
endef

define MONKEYD_INSTALL_INIT_OPENRC
	$(MONKEYD_LOG_TO_SYSLOG)
	$(INSTALL) -D -m 0755 $(@D)/conf/service/monkey.openrc \
		$(TARGET_DIR)/etc/init.d/monkey
	$(INSTALL) -d -m 0755 $(TARGET_DIR)/etc/runlevels/default
	ln -sf /etc/init.d/monkey $(TARGET_DIR)/etc/runlevels/default/monkey
endef

# The socket is a choice: it stands in for the Listen lines.
define MONKEYD_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/conf/service/monkey.service \
		$(TARGET_DIR)/usr/lib/systemd/system/monkey.service
	$(INSTALL) -D -m 0644 $(@D)/conf/service/monkey.socket \
		$(TARGET_DIR)/usr/lib/systemd/system/monkey.socket
	$(INSTALL) -D -m 0644 $(@D)/conf/service/monkey.tmpfiles \
		$(TARGET_DIR)/usr/lib/tmpfiles.d/monkey.conf
	$(INSTALL) -d -m 0755 $(TARGET_DIR)/usr/lib/systemd/system-preset
	echo "disable monkey.socket" \
		>$(TARGET_DIR)/usr/lib/systemd/system-preset/50-monkey.preset
endef

# As in the default skeleton; for one that has no such user.
define MONKEYD_USERS
	www-data 33 www-data 33 * /var/www - - Web server
endef

# Password hashes: read by root at start, by the server at a reload.
ifeq ($(BR2_PACKAGE_MONKEYD_AUTH),y)
define MONKEYD_PERMISSIONS
	/etc/monkey/plugins/auth/users f 0640 0 33 - - - - -
endef
endif

ifeq ($(BR2_PACKAGE_MONKEYD_SANDBOX),y)
define MONKEYD_LINUX_CONFIG_FIXUPS
	$(call KCONFIG_ENABLE_OPT,CONFIG_SECURITY)
	$(call KCONFIG_ENABLE_OPT,CONFIG_SECURITY_LANDLOCK)
endef
endif

$(eval $(cargo-package))
