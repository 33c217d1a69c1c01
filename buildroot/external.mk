include $(sort $(wildcard $(BR2_EXTERNAL_MONKEYD_PATH)/package/*/*.mk))
