SUMMARY = "Web server for devices with a fixed memory ceiling"
DESCRIPTION = "Monkey serves files, programs and other servers over HTTP/1.1. \
               Its memory has a limit that is set in advance, and nothing is \
               allocated while requests are served."
HOMEPAGE = "https://monkey.example.org"
BUGTRACKER = "https://monkey.example.org/issues"
SECTION = "net"
CVE_PRODUCT = "monkeyd"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# The crates. Not by the class that reads every Cargo.lock of the sources: that
# of the fuzz targets is none of this recipe's. scripts/update-packaging does it.
require ${BPN}-crates.inc

# Where the archive of a release is. scripts/dist makes the same one of a clone.
MONKEYD_SITE ?= "https://monkey.example.org/releases"

SRC_URI += "${MONKEYD_SITE}/${BP}.tar.gz \
            file://run-ptest \
            file://volatiles.99_monkeyd \
            "
SRC_URI[sha256sum] = "1d3ca1888f19c4f19b4be11705f33f5ef3d8a8b2d35512a535c26dd955531c01"

inherit cargo ptest systemd update-rc.d useradd

# One word a cargo feature. As shipped: the default features of the crate.
PACKAGECONFIG ??= "auth cgi cheetah dirlisting fastcgi liana logger mandril metrics palm palm-server proxy syslog"
PACKAGECONFIG[auth] = "--features plugin-auth"
PACKAGECONFIG[auth-bcrypt] = "--features auth-bcrypt"
PACKAGECONFIG[cgi] = "--features plugin-cgi"
PACKAGECONFIG[cheetah] = "--features plugin-cheetah"
PACKAGECONFIG[dirlisting] = "--features plugin-dirlisting"
PACKAGECONFIG[fastcgi] = "--features plugin-fastcgi"
PACKAGECONFIG[gpio] = "--features plugin-gpio"
PACKAGECONFIG[liana] = "--features plugin-liana"
PACKAGECONFIG[logger] = "--features plugin-logger"
PACKAGECONFIG[mandril] = "--features plugin-mandril"
PACKAGECONFIG[metrics] = "--features plugin-metrics"
PACKAGECONFIG[palm] = "--features plugin-palm"
PACKAGECONFIG[palm-server] = "--features palm-server"
PACKAGECONFIG[proxy] = "--features plugin-proxy"
PACKAGECONFIG[sandbox] = "--features sandbox"
PACKAGECONFIG[syslog] = "--features syslog"

CARGO_BUILD_FLAGS += "--no-default-features"

# Stripped after its symbols have gone into the package for them.
export CARGO_PROFILE_RELEASE_STRIP = "none"

SYSTEMD_SERVICE:${PN} = "monkey.service"

INITSCRIPT_NAME = "monkey"
INITSCRIPT_PARAMS = "defaults 70"

# base-passwd has the user; an image with a table of its own may not.
USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir ${localstatedir}/www \
                       --shell /sbin/nologin --user-group www-data"

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/monkey ${D}${sbindir}/monkey

    install -D -m 0644 -t ${D}${sysconfdir}/monkey ${S}/conf/monkey.conf ${S}/conf/monkey.mime
    sed -i -e 's|# User www-data|User www-data|' ${D}${sysconfdir}/monkey/monkey.conf
    install -D -m 0644 ${S}/conf/sites/default ${D}${sysconfdir}/monkey/sites/default
    sed -i -e 's|DocumentRoot ../htdocs|DocumentRoot ${servicedir}/www|' ${D}${sysconfdir}/monkey/sites/default
    install -d -m 0755 ${D}${sysconfdir}/monkey/plugins
    for plugin in ${PACKAGECONFIG}; do
        if [ -d ${S}/conf/plugins/$plugin ]; then
            install -D -m 0644 -t ${D}${sysconfdir}/monkey/plugins/$plugin ${S}/conf/plugins/$plugin/*
        fi
    done
    if ${@bb.utils.contains('PACKAGECONFIG', 'palm-server', 'true', 'false', d)}; then
        install -m 0644 ${S}/conf/palm.conf ${D}${sysconfdir}/monkey/palm.conf
    fi
    if ${@bb.utils.contains('PACKAGECONFIG', 'auth', 'true', 'false', d)}; then
        # Password hashes: read by root at start, by the server at a reload.
        chown root:www-data ${D}${sysconfdir}/monkey/plugins/auth/users
        chmod 0640 ${D}${sysconfdir}/monkey/plugins/auth/users
    fi

    install -D -m 0644 -t ${D}${servicedir}/www ${S}/htdocs/*
    install -D -m 0644 ${S}/conf/service/monkey.default ${D}${sysconfdir}/default/monkey
    install -D -m 0644 ${S}/conf/service/monkey.logrotate ${D}${sysconfdir}/logrotate.d/monkey

    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -D -m 0644 -t ${D}${systemd_system_unitdir} \
            ${S}/conf/service/monkey.service ${S}/conf/service/monkey.socket
        install -D -m 0644 ${S}/conf/service/monkey.tmpfiles ${D}${nonarch_libdir}/tmpfiles.d/monkey.conf
    fi
    if ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${S}/conf/service/S50monkey ${D}${sysconfdir}/init.d/monkey
        if ${@bb.utils.contains('PACKAGECONFIG', 'syslog', 'true', 'false', d)} && \
                ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'false', 'true', d)}; then
            # The script starts it in the background, where nobody reads what is on stderr.
            sed -i -e 's|# LogTarget stderr|LogTarget syslog|' ${D}${sysconfdir}/monkey/monkey.conf
        fi
        install -D -m 0644 ${UNPACKDIR}/volatiles.99_monkeyd ${D}${sysconfdir}/default/volatiles/99_monkeyd
    fi
}

FILES:${PN} += "${servicedir}/www ${nonarch_libdir}/tmpfiles.d ${systemd_system_unitdir}"

CONFFILES:${PN} = "${sysconfdir}/default/monkey \
                   ${sysconfdir}/logrotate.d/monkey \
                   ${sysconfdir}/monkey \
                   "
